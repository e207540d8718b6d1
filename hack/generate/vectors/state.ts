import { controlKeys, type ControlKeys } from '../../../src/protocol/control-keys.ts'
import { parseTemplates } from '../../../src/protocol/templates.ts'
import { documentNamed, INPUT } from './samples.ts'
import type { KeyState, Wire } from './wire.ts'

/** Control keys of the migration that most vectors are about. */
export const CONTROL: ControlKeys = controlOf(INPUT)

export function controlOf({ legacy, target }: Pick<typeof INPUT, 'legacy' | 'target'>): ControlKeys {
  return controlKeys(parseTemplates(legacy, target).controlPrefix)
}

type Pairs = Readonly<Record<string, string | number>>

const pairsOf = (pairs: Pairs): Wire => Object.entries(pairs).map(([name, value]) => [name, String(value)])
const withExpiry = (expiresAt?: number): { expiresAt?: number } => (expiresAt === undefined ? {} : { expiresAt })

export const string = (key: string, value: Wire, expiresAt?: number): KeyState => ({
  key,
  type: 'string',
  value,
  ...withExpiry(expiresAt),
})
export const hash = (key: string, value: Pairs, expiresAt?: number): KeyState => ({
  key,
  type: 'hash',
  value: pairsOf(value),
  ...withExpiry(expiresAt),
})
export const list = (key: string, ...value: Wire[]): KeyState => ({ key, type: 'list', value })
export const scores = (key: string, value: Pairs): KeyState => ({ key, type: 'zset', value: pairsOf(value) })

/** Job keys as the application stores them. */
export const legacy = (jobId: string, fields: Pairs = { workspace_id: 'w1', n: 1 }, expiresAt?: number): KeyState =>
  hash(`ai:job:${jobId}`, fields, expiresAt)
export const target = (jobId: string, fields: Pairs = { workspace_id: 'w1', n: 1 }, expiresAt?: number): KeyState =>
  hash(`ai:job:w1:${jobId}`, fields, expiresAt)

/** The fence as it stands while a document is in force: raised to the epoch before, from epoch 2 on. */
export function fenceFor(document: string | null): KeyState[] {
  const epoch = documentNamed(document)?.epoch ?? 0
  return epoch < 2 ? [] : [string(CONTROL.fence, String(epoch - 1))]
}

/** An entry that a consumer holds until `leaseEnd`, counted for w1. */
export function held(entry: Wire, leaseEnd: number): KeyState[] {
  const name = typeof entry === 'string' ? entry : ''
  return [
    list(CONTROL.processing('ai:queue'), entry),
    { key: CONTROL.leases('ai:queue'), type: 'zset', value: [[entry, String(leaseEnd)]] },
    ...(name === '' ? [] : [hash(CONTROL.queued('ai:queue'), { [name]: 'w1' }), hash(CONTROL.depth, { w1: 1 })]),
  ]
}
