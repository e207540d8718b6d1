// node hack/cluster/main.ts up|down|status|kubectl|helm NAME [...]
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ensureBinaries } from '../binaries/build.ts'
import { clusterEnv } from './handle.ts'
import { componentNames } from './components.ts'
import { layoutOf } from './layout.ts'
import { isComponent, killParts, startParts } from './parts.ts'
import { findCluster, startCluster, stopCluster } from './start.ts'
import { judge } from './state.ts'
import { describe } from './status.ts'

const usage = `node hack/cluster/main.ts COMMAND NAME [...]
  up NAME               start a cluster; it stays until down
  down NAME             end and remove it, or what a killed run left of it
  restart NAME PART...  kill -9 parts of it (etcd, apiServer, ...) and start them again on their data
  status NAME           what runs, and where its files and addresses are
  kubectl NAME ...      kubectl with the cluster's credentials
  helm NAME ...         helm with the cluster's credentials`

const log = (line: string): void => console.log(line)

/** Someone ended the command by a signal. */
class Interrupted extends Error {}

async function up(name: string): Promise<number> {
  const abort = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      console.log(`${signal}: removing what was made`)
      abort.abort(new Interrupted(`ended by ${signal}; nothing is left`))
    })
  const started = Date.now()
  const cluster = await startCluster(name, { log, signal: abort.signal })
  log(`cluster '${name}' is ready after ${((Date.now() - started) / 1000).toFixed(1)} s`)
  log(`export KUBECONFIG=${cluster.kubeconfigPath}`)
  return 0
}

async function down(name: string): Promise<number> {
  if (!(await stopCluster(name, log))) log(`there is no cluster '${name}' and nothing is left of one`)
  return 0
}

async function restart(name: string, parts: readonly string[]): Promise<number> {
  const names = parts.filter(isComponent)
  if (names.length === 0 || names.length < parts.length) throw new Error(`give parts: ${componentNames.join(', ')}`)
  const cluster = await findCluster(name, log)
  await killParts(cluster, names)
  startParts(cluster, names)
  return 0
}

async function pass(program: 'kubectl' | 'helm', name: string, args: string[]): Promise<number> {
  const verdict = judge(name)
  if (verdict.kind !== 'running') throw new Error(`cluster '${name}' is not running (${verdict.kind})`)
  const folders = await ensureBinaries(['kube', 'tools'], log)
  const path = join(program === 'kubectl' ? folders.kube : folders.tools, program)
  const env = clusterEnv(layoutOf(name, verdict.state.slot))
  const child = spawn(path, args, { stdio: 'inherit', env })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code) => resolve(code ?? 1))
  })
}

async function main([command, name, ...rest]: string[]): Promise<number> {
  if (name === undefined) {
    console.error(usage)
    return 2
  }
  switch (command) {
    case 'up':
      return up(name)
    case 'down':
      return down(name)
    case 'restart':
      return restart(name, rest)
    case 'status':
      log(describe(name))
      return judge(name).kind === 'running' ? 0 : 1
    case 'kubectl':
    case 'helm':
      return pass(command, name, rest)
    default:
      console.error(usage)
      return 2
  }
}

try {
  process.exit(await main(process.argv.slice(2)))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(error instanceof Interrupted ? 130 : 1)
}
