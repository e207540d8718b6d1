import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SECRETS, type WorkSpec } from '../protocol/work.ts'
import type { Credentials, TlsOptions } from '../redis/connection.ts'

/**
 * Reads `username` and `password` from a mounted Secret. Called at each connection attempt, so that a rotated Secret is
 * picked up without a restart. Bytes are taken as they are.
 * @returns undefined where no Secret is mounted
 */
export async function readCredentials(
  dir: string,
  seen: (secret: string) => void = () => undefined,
): Promise<Credentials | undefined> {
  const [username, password] = await Promise.all([
    readOptional(join(dir, 'username')),
    readOptional(join(dir, 'password')),
  ])
  if (password === undefined) return undefined
  seen(password)
  // A user name cannot hold white space, so what stands there is only how the Secret was made.
  return username === undefined || username.trim() === '' ? { password } : { username: username.trim(), password }
}

/** CA and client certificate as `tls` says that they are mounted. Called at each connection attempt, as above. */
export async function readTls(dir: string, tls: NonNullable<WorkSpec['tls']>): Promise<TlsOptions> {
  const { caFrom, clientCert, serverName } = tls
  const [ca, cert, key] = await Promise.all([
    caFrom === undefined ? undefined : readFile(join(dir, SECRETS.ca, 'ca.crt')),
    clientCert === undefined ? undefined : readFile(join(dir, SECRETS.clientCert, 'tls.crt')),
    clientCert === undefined ? undefined : readFile(join(dir, SECRETS.clientCert, 'tls.key')),
  ])
  return { ca, caFrom, cert, key, serverName }
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
