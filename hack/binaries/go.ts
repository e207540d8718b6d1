import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findProgram, tryRun } from '../system/run.ts'

/** The `go` line of a module: the oldest Go that compiles it. */
export function neededGo(goMod: string): string {
  const version = /^go (\S+)$/m.exec(readFileSync(goMod, 'utf8'))?.[1]
  if (version === undefined) throw new Error(`${goMod} has no go line`)
  return version
}

/** The first Go that is new enough. Debian's own is often too old, so the usual places of another one are tried too. */
export async function findGo(needed: string, purpose: string): Promise<string> {
  const seen: string[] = []
  for (const path of candidates()) {
    const version = await versionOf(path)
    seen.push(`${path} (${version ?? 'does not run'})`)
    if (version !== undefined && !older(version, needed)) return path
  }
  const found = seen.length === 0 ? 'none found' : `found ${seen.join(', ')}`
  throw new Error(
    `Go ${needed} or newer is needed to build ${purpose}; ${found}. Looked on PATH, /usr/local/go/bin, /usr/lib/go-*/bin, ` +
      `/snap/bin and ~/go, ~/sdk. Install it from the Go project's download page, or use a cluster you have with --context NAME.`,
  )
}

function candidates(): string[] {
  const onPath = findProgram('go')
  const folders = ['/usr/local/go/bin', '/snap/bin', join(homedir(), 'go/bin')]
  for (const [root, prefix] of [
    ['/usr/lib', 'go-'],
    [join(homedir(), 'sdk'), 'go'],
  ] as const)
    if (existsSync(root))
      folders.push(
        ...readdirSync(root)
          .filter((name) => name.startsWith(prefix))
          .map((name) => join(root, name, 'bin')),
      )
  const paths = folders.map((folder) => join(folder, 'go')).filter((path) => existsSync(path))
  return [...new Set([...(onPath === undefined ? [] : [onPath]), ...paths])]
}

async function versionOf(go: string): Promise<string | undefined> {
  const result = await tryRun(go, ['env', 'GOVERSION'], { limitMs: 20_000 }).catch(() => undefined)
  return result?.code === 0 ? /go(\d+(?:\.\d+)*)/.exec(result.stdout)?.[1] : undefined
}

export function older(version: string, needed: string): boolean {
  const [a, b] = [version, needed].map((text) => text.split('.').map(Number)) as [number[], number[]]
  for (let i = 0; i < 3; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
