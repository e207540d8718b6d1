import type { TraceStep } from './explore.ts'
import { rungs, rungText, type Rung } from './ladder.ts'
import { ENTRY, expiryOf, NOTHING, OLD, UNPUBLISHED, versionOf, workspaceOf, type State, type Value } from './state.ts'

/** A way through the model as lines that a person reads: what happens, and what Redis holds after it. */
export function describeTrace(message: string, trace: readonly TraceStep<State>[]): string {
  const all = rungs()
  let epoch = 0
  const lines = trace.slice(1).map(({ label, state }, i) => {
    const text = label.replace(/\{(\d)\}/g, (_, digit: string) => nameEpoch(epoch, Number(digit)))
    const publishes = label.startsWith('operator publishes')
    if (publishes) epoch += 1
    const said = publishes && epoch > 1 ? `${text}: epoch ${epoch}` : text
    return `${String(i + 1).padStart(3)}. ${said.padEnd(86)} ${keysText(state)}`
  })
  const last = trace.at(-1)?.state
  const at =
    last === undefined || last.came === UNPUBLISHED
      ? 'unmanaged'
      : `${rungText(all[last.rungs[0]] as Rung)}, epoch ${epoch}, fence ${last.fenceLost || epoch - last.fence === 0 ? 'absent' : epoch - last.fence}`
  return [`${message}`, ...lines, `     (${at})`].join('\n')
}

function nameEpoch(epoch: number, age: number): string {
  return age === OLD ? 'an older epoch' : `epoch ${epoch - age}`
}

function keysText({ legacy, targets, truth, owner, entry }: State): string {
  const shown = [`legacy ${valueText(legacy)}`]
  targets.forEach((target, w) => {
    if (w === 0 || target !== NOTHING) shown.push(`target w${w + 1} ${valueText(target)}`)
  })
  if (owner !== NOTHING) shown.push(`owner w${workspaceOf(owner) + 1}`)
  if (entry !== ENTRY.none) shown.push(`queue ${entry === ENTRY.job ? 'j1' : `w${entry - ENTRY.pair + 1}:j1`}`)
  if (truth !== legacy) shown.push(`acknowledged ${valueText(truth)}`)
  return shown.join(', ')
}

function valueText(v: Value): string {
  if (v === NOTHING) return '-'
  const expiry = expiryOf(v) === 0 ? '' : ` expiring at ${expiryOf(v)}`
  return `w${workspaceOf(v) + 1}/v${versionOf(v)}${expiry}`
}
