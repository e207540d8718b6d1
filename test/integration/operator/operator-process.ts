import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../../hack/system/ports.ts'
import type { World } from './world.ts'

const MAIN = join(import.meta.dirname, '../../../src/operator/main.ts')
const children: ChildProcess[] = []
let count = 0

/** An operator as a process of its own. */
export interface OperatorProcess {
  readonly child: ChildProcess
  /** Of its probes and metrics. */
  readonly url: string
  readonly lines: () => Record<string, unknown>[]
  /** Exit code; undefined while it runs. */
  readonly code: () => number | null | undefined
  readonly exit: Promise<number | null>
  /** What it left in its termination message. */
  readonly lastWord: () => string
}

export async function startOperatorProcess(
  world: World,
  env: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Promise<OperatorProcess> {
  const port = await freePort()
  const terminationLog = join(world.dir, `termination-${(count += 1)}`)
  let out = ''
  let code: number | null | undefined
  const child = spawn(process.execPath, [...args, MAIN], {
    env: {
      KUBECONFIG: world.cluster.kubeconfigPath,
      KEYSHIFT_IMAGE: 'keyshift:test',
      KEYSHIFT_PORT: String(port),
      KEYSHIFT_TERMINATION_LOG: terminationLog,
      POD_NAMESPACE: 'default',
      POD_NAME: `operator-${count}`,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  return {
    child,
    url: `http://127.0.0.1:${port}`,
    lines: () =>
      out
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    code: () => code,
    exit: once(child, 'close').then(([ended]) => (code = ended as number | null)),
    lastWord: () => {
      try {
        return readFileSync(terminationLog, 'utf8')
      } catch {
        return ''
      }
    },
  }
}

/** For `afterEach`: ends what still runs. */
export function killOperatorProcesses(): void {
  for (const child of children.splice(0)) child.kill('SIGKILL')
}

/** The world's kubeconfig, through a proxy on `port`. */
export function kubeconfigThrough(world: World, port: number): string {
  const path = join(world.dir, `kubeconfig-${port}`)
  const text = readFileSync(world.cluster.kubeconfigPath, 'utf8')
  writeFileSync(path, text.replaceAll(world.cluster.server, `https://127.0.0.1:${port}`), { mode: 0o600 })
  return path
}

/** Status code of a probe, 0 where nobody answers. */
export function probe(url: string): Promise<number> {
  return fetch(url).then(
    ({ status }) => status,
    () => 0,
  )
}
