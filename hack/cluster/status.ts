import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { commandLine } from '../system/identity.ts'
import { serverUrl } from './components.ts'
import { layoutOf } from './layout.ts'
import { inNamespaceOf } from './processes.ts'
import { judge } from './state.ts'

/** What a person wants to know of a cluster, without asking its API server. */
export function describe(name: string): string {
  const verdict = judge(name)
  if (verdict.kind === 'absent') return `cluster '${name}' does not exist`
  if (verdict.kind === 'dead') return `cluster '${name}' is dead; its left-overs go with the next up or down`
  if (verdict.kind === 'starting') return `cluster '${name}' is being started by process ${verdict.pid}`
  const layout = layoutOf(name, verdict.state.slot)
  const processes = inNamespaceOf(verdict.pid).map((pid) => {
    const program = basename(commandLine(pid)[0] ?? '?')
    return `  ${String(pid).padStart(8)}  ${String(residentMiB(pid)).padStart(5)} MiB  ${program}`
  })
  return [
    `cluster '${name}' is running (pid ${verdict.pid}), ${serverUrl(layout)}`,
    `KUBECONFIG=${layout.kubeconfig}`,
    `pods ${layout.podCidr}, Services ${layout.serviceCidr}, node and DNS ${layout.nodeAddress}`,
    `logs ${layout.logs}`,
    'processes:',
    ...processes,
  ].join('\n')
}

function residentMiB(pid: number): number {
  try {
    return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024)
  } catch {
    return 0 // It ended between listing and reading.
  }
}
