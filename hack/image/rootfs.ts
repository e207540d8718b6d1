import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CommandError, tryRun } from '../system/run.ts'

export const userId = 65532

/** The files a program of this machine needs to run in an empty root: itself and the libraries the loader names. */
export async function filesOf(program: string): Promise<string[]> {
  const listed = await tryRun('ldd', [program])
  if (/not a dynamic executable|statically linked/.test(listed.stdout + listed.stderr)) return [program]
  if (listed.code !== 0) throw new CommandError(`ldd ${program}`, listed)
  if (/not found/.test(listed.stdout)) throw new Error(`${program} misses libraries:\n${listed.stdout}`)
  return [program, ...Array.from(listed.stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g), (match) => match[1] as string)]
}

/** Puts files under the names they are asked for, with the content their links lead to. */
export function place(root: string, files: readonly string[]): void {
  for (const file of files) placeAs(root, file, file)
}

export function placeAs(root: string, file: string, path: string): void {
  const target = join(root, path)
  mkdirSync(dirname(target), { recursive: true })
  copyFileSync(realpathSync(file), target)
}

export function placeFolder(root: string, folder: string): void {
  if (existsSync(folder)) cpSync(folder, join(root, folder), { recursive: true, dereference: true })
}

const certificates = '/etc/ssl/certs/ca-certificates.crt'

/** What programs expect of any system: users, name lookup, a place for temporary files, and these writable folders. */
export function placeBasics(root: string, writable: readonly string[] = []): void {
  mkdirSync(join(root, 'etc'), { recursive: true })
  writeFileSync(
    join(root, 'etc/passwd'),
    `root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:${userId}:${userId}::/:/sbin/nologin\n`,
  )
  writeFileSync(join(root, 'etc/group'), `root:x:0:\nnonroot:x:${userId}:\n`)
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'passwd: files\ngroup: files\nhosts: files dns\n')
  if (existsSync(certificates)) place(root, [certificates])
  for (const folder of ['/tmp', ...writable]) {
    mkdirSync(join(root, folder), { recursive: true })
    chmodSync(join(root, folder), 0o1777)
  }
}
