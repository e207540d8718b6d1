import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.ts'

export type KeyPair = { cert: string; key: string }

export type Subject = {
  /** File name without ending. */
  name: string
  commonName: string
  organization?: string
  addresses?: readonly string[]
  hostNames?: readonly string[]
}

/** A certificate authority of one cluster, in one folder. node:crypto makes keys but no certificates: openssl does. */
export type Authority = { folder: string; pair: KeyPair; issue: (subject: Subject) => Promise<KeyPair> }

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '3650']

export async function createAuthority(folder: string): Promise<Authority> {
  const pair = files(folder, 'ca')
  const extensions = [
    '-addext',
    'basicConstraints=critical,CA:TRUE',
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign,digitalSignature',
  ]
  // An own config file: a machine's openssl.cnf may add extensions that then appear twice.
  writeFileSync(join(folder, 'openssl.cnf'), '[req]\ndistinguished_name=dn\n[dn]\n')
  await openssl(folder, [
    '-x509',
    ...newKey,
    '-keyout',
    pair.key,
    '-out',
    pair.cert,
    '-subj',
    '/CN=keyshift-local',
    ...extensions,
  ])
  return { folder, pair, issue: (subject) => issue(folder, pair, subject) }
}

async function issue(folder: string, ca: KeyPair, subject: Subject): Promise<KeyPair> {
  const pair = files(folder, subject.name)
  const names = [
    ...(subject.addresses ?? []).map((address) => `IP:${address}`),
    ...(subject.hostNames ?? []).map((name) => `DNS:${name}`),
  ]
  const organization = subject.organization === undefined ? '' : `/O=${subject.organization}`
  const extensions = ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=serverAuth,clientAuth']
  if (names.length > 0) extensions.push(`subjectAltName=${names.join(',')}`)
  await openssl(folder, [
    ...['-x509', '-CA', ca.cert, '-CAkey', ca.key, ...newKey, '-keyout', pair.key, '-out', pair.cert],
    ...['-subj', `${organization}/CN=${subject.commonName}`],
    ...extensions.flatMap((extension) => ['-addext', extension]),
  ])
  return pair
}

/** The key that service-account tokens are signed with, and its public half. */
export function createSigningKey(folder: string): { signing: string; verifying: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'prime256v1',
    privateKeyEncoding: { type: 'sec1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const paths = { signing: join(folder, 'sa.key'), verifying: join(folder, 'sa.pub') }
  writeFileSync(paths.signing, privateKey, { mode: 0o600 })
  writeFileSync(paths.verifying, publicKey)
  return paths
}

const files = (folder: string, name: string): KeyPair => ({
  cert: join(folder, `${name}.crt`),
  key: join(folder, `${name}.key`),
})

async function openssl(folder: string, args: string[]): Promise<void> {
  await run('openssl', ['req', '-config', join(folder, 'openssl.cnf'), ...args], { limitMs: 30_000 })
}
