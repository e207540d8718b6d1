import type { Connection } from '../../../src/redis/connection.ts'
import * as scripts from '../../../src/redis/scripts.ts'
import type { Answer, EntryCall, JobCall } from '../../../src/redis/scripts.ts'
import { FUTURE, PAST } from './samples.ts'
import { CONTROL as keys, held, legacy, list, string } from './state.ts'
import type { ScriptCase } from './scripts.ts'
import type { KeyState, Wire } from './wire.ts'

const O = { deadlineMs: 5000 }
const fence = (epoch: number): KeyState => string(keys.fence, String(epoch))

/** The job that script calls are about. */
export const job: JobCall = {
  keys,
  epoch: 5,
  workspaceId: 'w1',
  workspaceField: 'workspace_id',
  type: 'hash',
  forbidden: ':',
  order: 'TL',
  legacyKey: 'ai:job:j1',
  targetKey: 'ai:job:w1:j1',
  keepMs: 600_000,
}
const shared: JobCall = { ...job, epoch: 1, order: 'L', names: 'shared', legacyKey: job.targetKey }
const value = { toTarget: true, expiry: { mode: 'none', ms: 0 }, value: ['workspace_id', 'w1'] } as const
const text = '{"workspace_id":"w1"}'

type Send<T> = (connection: Connection, call: T) => Promise<Answer>

const ON_JOBS: Readonly<Record<string, Send<JobCall>>> = {
  create: (c, j) => scripts.createJob(c, j, value, O),
  get: (c, j) => scripts.getJob(c, j, O),
  update: (c, j) => scripts.updateJob(c, j, { expect: [], set: ['n', '9'] }, O),
  'update of a text': (c, j) => scripts.updateText(c, { ...j, type: 'string' }, { old: text, text }, O),
  mutate: (c, j) => scripts.mutateJob(c, j, [['HSET', 'n', '9']], O),
  expire: (c, j) => scripts.expireJob(c, j, { mode: 'at', ms: FUTURE }, O),
  delete: (c, j) => scripts.deleteJob(c, j, O),
  push: (c, j) => scripts.pushJob(c, j, { key: 'ai:queue', entry: 'w1:j1' }, O),
}

/** What an operation id of another operation left. */
const used: KeyState = { key: keys.operation('op-1'), type: 'hash', value: [['what', 'update 2 w1 ai:job:j7'], ['answer', 'x']] } // prettier-ignore

const STATES: readonly (readonly [what: string, before: readonly KeyState[], call: JobCall])[] = [
  ['an epoch below the fence', [fence(6), legacy('j1')], job],
  ['no fence', [legacy('j1')], job],
  ['no such job', [fence(4)], job],
  ["another workspace's job", [fence(4), legacy('j1', { workspace_id: 'w2' })], job],
  ['a value without a usable workspace', [fence(4), legacy('j1', { workspace_id: 'w:1' })], job],
  ['an id with the name of a target', [fence(1)], shared],
  ['an operation id that is in use', [fence(4), used], { ...job, operation: { id: 'op-1' } }],
]

const entry: EntryCall = {
  keys,
  epoch: 5,
  phase: 2,
  workspaceField: 'workspace_id',
  forbidden: ':',
  delimiter: ':',
  order: 'TL',
  queue: 'ai:queue',
  entry: 'w1:j1',
  leaseEnd: String(PAST),
  form: 'pair',
  workspaceId: 'w1',
  jobId: 'j1',
  legacyKey: 'ai:job:j1',
  targetKey: 'ai:job:w1:j1',
  wholeKey: undefined,
}

const ON_ENTRIES: Readonly<Record<string, Send<EntryCall>>> = {
  resolve: (c, e) => scripts.resolveEntry(c, e, O),
  nack: (c, e) => scripts.returnEntry(c, e, 'nack', O),
  reap: (c, e) => scripts.returnEntry(c, e, 'reap', O),
  ack: (c, { form: _, ...e }) => scripts.ackEntry(c, e, O),
  extend: (c, e) => scripts.extendEntry(c, { ...e, leaseMs: 60_000 }, O),
  'look for ended leases': (c, { queue }) => scripts.expiredEntries(c, { keys, epoch: 5, queue, leaseMs: 60_000, limit: 100 }, O),
  move: (c, { queue }) => scripts.moveEntry(c, { keys, epoch: 5, queue, leaseMs: 60_000 }, O),
  'list page': (c) => scripts.listPage(c, { ...job, order: 'LT', pairs: [['ai:job:j1', 'ai:job:j1']] }, O),
} // prettier-ignore

const queue = (...entries: Wire[]): KeyState => list('ai:queue', ...entries)
const ENTRY_STATES: readonly (readonly [what: string, before: readonly KeyState[]])[] = [
  ['an epoch below the fence', [fence(6), ...held('w1:j1', PAST), queue('w1:j2')]],
  ['no fence', [...held('w1:j1', PAST), queue('w1:j2')]],
  ['a lease of another end', [fence(4), ...held('w1:j1', FUTURE), legacy('j1')]],
]

/** Every script of a client in every state in which it changes nothing of a job. */
export const REFUSALS: readonly ScriptCase[] = [
  ...STATES.flatMap(([what, before, call]) =>
    Object.entries(ON_JOBS).map(([name, send]) => ({
      what: `${name}: ${what}`,
      before,
      send: (c: Connection) => send(c, call),
    })),
  ),
  ...ENTRY_STATES.flatMap(([what, before]) =>
    Object.entries(ON_ENTRIES).map(([name, send]) => ({
      what: `${name}: ${what}`,
      before,
      send: (c: Connection) => send(c, entry),
    })),
  ),
  {
    what: 'nack: a queue key that is no list',
    before: [fence(4), ...held('w1:j1', PAST), legacy('j1'), string('ai:queue', 'x')],
    send: (c) => scripts.returnEntry(c, entry, 'nack', O),
  },
]
