import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Identity, isAlive } from '../system/identity.ts'
import { rootOf } from './layout.ts'

/** What a run wrote down about its cluster. */
export type State = {
  phase: 'starting' | 'ready' | 'failed'
  slot: number
  /** The process that made it. */
  runner: Identity
  /** true: the cluster ends with its runner. false: it stays until someone ends it. */
  tied: boolean
  /** First process of the cluster's namespaces: all others end with it. */
  keeper?: Identity
}

export type Verdict =
  | { kind: 'absent' }
  /** What a killed run or a reboot left: may be cleared away. */
  | { kind: 'dead' }
  | { kind: 'starting'; pid: number }
  | { kind: 'running'; pid: number; state: State }

export function readState(name: string): State | undefined {
  const file = stateFile(name)
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as State) : undefined
}

export function writeState(name: string, state: State): void {
  const file = stateFile(name)
  mkdirSync(rootOf(name), { recursive: true })
  writeFileSync(`${file}.draft`, JSON.stringify(state, null, 2))
  renameSync(`${file}.draft`, file) // Never half written: it decides whether a cluster is cleared away.
}

export function judge(name: string): Verdict {
  const state = readState(name)
  return state === undefined ? { kind: existsSync(rootOf(name)) ? 'dead' : 'absent' } : verdictOn(state, isAlive)
}

export function verdictOn(state: State, alive: (identity: Identity) => boolean): Verdict {
  if (state.phase === 'failed') return { kind: 'dead' }
  const runnerAlive = alive(state.runner)
  if (state.phase === 'starting') return runnerAlive ? { kind: 'starting', pid: state.runner.pid } : { kind: 'dead' }
  if (state.tied && !runnerAlive) return { kind: 'dead' }
  if (state.keeper === undefined || !alive(state.keeper)) return { kind: 'dead' }
  return { kind: 'running', pid: state.keeper.pid, state }
}

const stateFile = (name: string): string => join(rootOf(name), 'state.json')
