import { LEASE_TTL_MS } from '../../../src/protocol/control-keys.ts'
import type { Connection } from '../../../src/redis/connection.ts'
import * as scripts from '../../../src/redis/scripts.ts'
import type { Answer, JobCall } from '../../../src/redis/scripts.ts'
import { job } from './refusals.ts'
import { FUTURE, PAST } from './samples.ts'
import { CONTROL, hash, held, legacy, list, scores, string, target } from './state.ts'
import type { KeyState } from './wire.ts'

/** One call of a script that no single operation of a client makes, or not in this state. */
export interface ScriptCase {
  readonly what: string
  readonly before?: readonly KeyState[]
  readonly send: (connection: Connection) => Promise<Answer>
}

const O = { deadlineMs: 5000 }
const keys = CONTROL
const fence = (epoch: number): KeyState => string(CONTROL.fence, String(epoch))
const renewal = {
  keys,
  memberId: 'm1',
  leaseMs: LEASE_TTL_MS,
  podUid: 'u-1',
  podName: 'ai-api-"é"',
  version: '1.2.3',
  illegal: { count: 0, example: '' },
}
const once: JobCall = { ...job, operation: { id: 'op-1' } }
const texts: JobCall = { ...job, type: 'string' }
const value = { toTarget: true, expiry: { mode: 'none', ms: 0 }, value: ['workspace_id', 'w1'] } as const
const queued = { epoch: 5, keys, queue: 'ai:queue' }

// MessagePack of the list ['OK', '0'].
const packed = { base64: Buffer.from('\x92\xa2OK\xa10', 'latin1').toString('base64') }
/** What a first try with an operation id left. */
const repeated = (what: string): KeyState => ({
  key: CONTROL.operation('op-1'),
  type: 'hash',
  value: [
    ['what', what],
    ['answer', packed],
  ],
  expiresAt: FUTURE,
})

// prettier-ignore
export const SCRIPT_CASES: readonly ScriptCase[] = [
  { what: 'a member registers while unmanaged', send: (c) => scripts.renewMember(c, { ...renewal, epoch: 0, hash: '' }, O) },
  { what: 'a member registers under a document', before: [fence(4)], send: (c) => scripts.renewMember(c, { ...renewal, epoch: 5, hash: '0123456789abcdef' }, O) },
  { what: 'a member renews: its record stays as it is', before: [fence(4), hash(keys.members, { m1: '{"podUid":"u-1","podName":"p","version":"1.0.0","registeredAt":1000000}' })], send: (c) => scripts.renewMember(c, { ...renewal, epoch: 5, hash: '0123456789abcdef' }, O) },
  { what: 'a renewal tells of illegal ids', before: [hash(keys.illegalIds, { count: 2, lastAt: 1000000, example: 'a:b', member: 'm0' })], send: (c) => scripts.renewMember(c, { ...renewal, epoch: 1, hash: '0123456789abcdef', illegal: { count: 3, example: 'report:2026' } }, O) },
  { what: 'a fence that is no number counts as absent', before: [string(CONTROL.fence, 'x')], send: (c) => scripts.renewMember(c, { ...renewal, epoch: 1, hash: '' }, O) },
  { what: 'a member ends its lease', before: [string(keys.lease('m1'), '{"epoch":1,"hash":""}', FUTURE), hash(keys.members, { m1: '{"registeredAt":1000000}' })], send: (c) => scripts.releaseMember(c, { keys, memberId: 'm1', illegal: { count: 1, example: 'a:b' } }, O) },
  { what: 'a repeated write gets its first answer and does nothing', before: [fence(4), legacy('j1'), repeated('update 2 w1 ai:job:j1')], send: (c) => scripts.updateJob(c, once, { expect: [], set: ['n', '9'] }, O) },
  { what: 'a repeated delete of a job that is gone by now', before: [fence(4), repeated('delete 2 w1 ai:job:j1')], send: (c) => scripts.deleteJob(c, once, O) },
  { what: 'an operation id of another operation', before: [fence(4), legacy('j1'), repeated('update 2 w1 ai:job:j1')], send: (c) => scripts.deleteJob(c, once, O) },
  { what: 'an operation id of another job', before: [fence(4), legacy('j1'), repeated('delete 2 w1 ai:job:j2')], send: (c) => scripts.deleteJob(c, once, O) },
  { what: 'an operation id does not help below the fence', before: [fence(6), repeated('delete 2 w1 ai:job:j1')], send: (c) => scripts.deleteJob(c, once, O) },
  { what: 'a refused write is not kept', before: [fence(4), legacy('j1')], send: (c) => scripts.createJob(c, once, value, O) },
  { what: 'a text that is no more what was read', before: [fence(4), string('ai:job:j1', '{"workspace_id":"w1","n":2}')], send: (c) => scripts.updateText(c, texts, { old: '{"workspace_id":"w1","n":1}', text: '{"workspace_id":"w1","n":3}' }, O) },
  { what: "a text of another workspace", before: [fence(4), string('ai:job:j1', '{"workspace_id":"w2"}')], send: (c) => scripts.updateText(c, texts, { old: '{"workspace_id":"w2"}', text: '{"workspace_id":"w1"}' }, O) },
  { what: 'a command of the wrong arity', before: [fence(4), legacy('j1')], send: (c) => scripts.mutateJob(c, job, [['HSET', 'a']], O) },
  { what: 'a command that is not allowed', before: [fence(4), legacy('j1')], send: (c) => scripts.mutateJob(c, job, [['DEL', 'a']], O) },
  { what: 'a key of no known type', before: [fence(4), list('ai:job:j1', 'x')], send: (c) => scripts.getJob(c, job, O) },
  { what: "keys that differ: the one read first is compared, both are written", before: [fence(4), legacy('j1', { workspace_id: 'w1', n: 1 }), target('j1', { workspace_id: 'w1', n: 2 })], send: (c) => scripts.updateJob(c, job, { expect: [['n', '2']], set: ['n', '3'] }, O) },
  { what: 'an entry that is still held', before: [fence(4), ...held('w1:j1', FUTURE)], send: (c) => scripts.ackEntry(c, { ...queued, entry: 'w1:j1', leaseEnd: String(FUTURE) }, O) },
  { what: 'an entry whose lease is another one by now', before: [fence(4), ...held('w1:j1', FUTURE)], send: (c) => scripts.ackEntry(c, { ...queued, entry: 'w1:j1', leaseEnd: String(PAST) }, O) },
  { what: 'an entry that went back already', before: [fence(4), list('ai:queue', 'w1:j1')], send: (c) => scripts.extendEntry(c, { ...queued, entry: 'w1:j1', leaseEnd: String(PAST), leaseMs: 60_000 }, O) },
  { what: 'one page of ended leases, oldest first', before: [fence(4), list(keys.processing('ai:queue'), 'c', 'b', 'a'), scores(keys.leases('ai:queue'), { a: 1000, b: 2000, c: 3000 })], send: (c) => scripts.expiredEntries(c, { ...queued, leaseMs: 60_000, limit: 2 }, O) },
]
