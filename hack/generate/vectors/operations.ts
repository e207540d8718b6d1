import type { Encoding } from '../../../src/client/types.ts'
import { FUTURE, idOfBucket, INPUT, OTHER, PAST } from './samples.ts'
import { CONTROL, controlOf, fenceFor, hash, held, legacy, list, string, target } from './state.ts'
import type { Operation } from './tries.ts'
import type { KeyState, Wire } from './wire.ts'

/** One operation of a client on what is stored. */
export interface OperationCase {
  readonly what: string
  readonly document: string | null
  readonly encoding?: Encoding
  readonly before?: readonly KeyState[]
  /** Instead of the one that the document's epoch has. */
  readonly fence?: readonly KeyState[]
  readonly operation: Operation
}

/** Two jobs: one within 10 % of the buckets, one beyond 50 %. */
const IN = idOfBucket(INPUT.name, 'j', 999)
const OUT = idOfBucket(INPUT.name, 'j', 9999)
const job = (jobId: string) => ({ workspaceId: 'w1', jobId })
const DUAL = 'DualWrite 10 %'
const READ = 'ReadRouting 50 %'
const VERIFY = 'BackfillVerify'
const EVERY = [null, 'Legacy', DUAL, 'DualWrite 100 %', READ, VERIFY, 'Legacy again']
const value = { workspace_id: 'w1', n: '1' }
const text = '{"workspace_id":"w1","big":12345678901234567890,"n":1.0}'
const at = FUTURE

/** Each operation under each document, on each set of the job's keys that can be there. */
function everywhere(): OperationCase[] {
  const stored: [string, (id: string) => KeyState[]][] = [
    ['no key', () => []],
    ['legacy alone', (id) => [legacy(id)]],
    ['both keys', (id) => [legacy(id, undefined, at), target(id, undefined, at)]],
    ['target alone', (id) => [target(id)]],
  ]
  const operations: ((id: string) => Operation)[] = [
    (id) => ({ name: 'create', ...job(id), value, queue: 'ai:queue', expiresAt: at }),
    (id) => ({ name: 'get', ...job(id) }),
    (id) => ({ name: 'update', ...job(id), fields: { n: '2' } }),
    (id) => ({ name: 'delete', ...job(id) }),
  ]
  return EVERY.flatMap((document) =>
    [IN, OUT].flatMap((id) =>
      stored.flatMap(([what, keys]) =>
        operations.map((of) => {
          const operation = of(id)
          return { what: `${operation.name}, ${what}`, document, before: keys(id), operation }
        }),
      ),
    ),
  )
}

// prettier-ignore
const CREATES: OperationCase[] = [
  { what: 'the workspace field is filled in', document: DUAL, operation: { name: 'create', ...job(IN), value: { n: '1' } } },
  { what: 'a value of another workspace', document: DUAL, operation: { name: 'create', ...job(IN), value: { workspace_id: 'w2' } } },
  { what: "a job id of another workspace's job", document: VERIFY, before: [legacy(IN, { workspace_id: 'w2' })], operation: { name: 'create', ...job(IN), value } },
  { what: 'a legacy key without a workspace', document: VERIFY, before: [legacy(IN, { n: 1 })], operation: { name: 'create', ...job(IN), value } },
  { what: 'a legacy key of another type', document: VERIFY, before: [string(`ai:job:${IN}`, text)], operation: { name: 'create', ...job(IN), value } },
  { what: 'a target key of another type', document: VERIFY, before: [string(`ai:job:w1:${IN}`, 'x')], operation: { name: 'create', ...job(IN), value } },
  { what: 'a stray target is overwritten', document: DUAL, before: [target(OUT, { workspace_id: 'w1', old: 1 })], operation: { name: 'create', ...job(OUT), value } },
  { what: 'an expiry in the past', document: DUAL, operation: { name: 'create', ...job(IN), value, expiresAt: PAST } },
  { what: 'a time to live', document: DUAL, operation: { name: 'create', ...job(IN), value, ttlMs: 60_000 } },
  { what: 'a queue key that is no list', document: DUAL, before: [string('ai:queue', 'x')], operation: { name: 'create', ...job(IN), value, queue: 'ai:queue' } },
  { what: 'a text', document: DUAL, encoding: 'json', operation: { name: 'create', ...job(IN), value: text } },
  { what: 'a text without a workspace', document: DUAL, encoding: 'json', operation: { name: 'create', ...job(IN), value: '{"n":1}' } },
  { what: 'a text whose workspace is a number', document: DUAL, encoding: 'json', operation: { name: 'create', ...job(IN), value: '{"workspace_id":1}' } },
  { what: 'a text that is no JSON', document: DUAL, encoding: 'json', operation: { name: 'create', ...job(IN), value: '{' } },
  { what: 'with an operation id', document: DUAL, operation: { name: 'create', ...job(IN), value, operationId: 'op-1' } },
  { what: 'an id with the delimiter, before any target', document: 'Legacy', operation: { name: 'create', ...job('report:2026'), value } },
  { what: 'an id with the name of a target of its workspace, before any target', document: 'Legacy', operation: { name: 'create', ...job('w1:j1'), value } },
  { what: 'the same, once the fence lets the next epoch come', document: 'Legacy', fence: [string(CONTROL.fence, '1')], operation: { name: 'create', ...job('w1:j1'), value } },
  { what: 'the same, once there may be targets', document: 'Legacy again', operation: { name: 'create', ...job('w1:j1'), value } },
  { what: 'an id with the delimiter', document: DUAL, operation: { name: 'create', ...job('report:2026'), value } },
]

// prettier-ignore
const OTHERS: OperationCase[] = [
  { what: "another workspace's job", document: READ, before: [legacy(IN, { workspace_id: 'w2' })], operation: { name: 'get', ...job(IN) } },
  { what: 'a value without a workspace, epoch 0', document: null, before: [legacy(IN, { n: 1 })], operation: { name: 'get', ...job(IN) } },
  { what: 'a value without a workspace, epoch 1', document: 'Legacy', before: [legacy(IN, { n: 1 })], operation: { name: 'update', ...job(IN), fields: { n: '2' } } },
  { what: 'a value without a workspace, later', document: DUAL, before: [legacy(IN, { n: 1 })], operation: { name: 'get', ...job(IN) } },
  { what: 'a fallback is counted once the backfill is complete', document: VERIFY, before: [legacy(IN), string(CONTROL.backfilled, '1'), string(CONTROL.fallbackReads, '0')], operation: { name: 'get', ...job(IN) } },
  { what: 'a text', document: READ, encoding: 'json', before: [string(`ai:job:${IN}`, text, at)], operation: { name: 'get', ...job(IN) } },
  { what: 'a text that is no UTF-8', document: READ, encoding: 'json', before: [string(`ai:job:${IN}`, { base64: Buffer.from('7b22776f726b73706163655f6964223a227731222c2278223a22ff227d', 'hex').toString('base64') })], operation: { name: 'get', ...job(IN) } },
  { what: 'a text of another workspace', document: READ, encoding: 'json', before: [string(`ai:job:${IN}`, '{"workspace_id":"w2"}')], operation: { name: 'get', ...job(IN) } },
  { what: 'a hash where texts are expected', document: READ, encoding: 'json', before: [legacy(IN)], operation: { name: 'get', ...job(IN) } },
  { what: 'a text is replaced byte for byte, its expiry stays', document: READ, encoding: 'json', before: [string(`ai:job:${IN}`, text, at), string(`ai:job:w1:${IN}`, text, at)], operation: { name: 'update', ...job(IN), text: '{ "workspace_id": "w1", "big": 12345678901234567890, "n": 2.0 }' } },
  { what: 'a text with another workspace', document: READ, encoding: 'json', before: [string(`ai:job:${IN}`, text)], operation: { name: 'update', ...job(IN), text: '{"workspace_id":"w2"}' } },
  { what: 'a text that is no JSON', document: READ, encoding: 'json', before: [string(`ai:job:${IN}`, text)], operation: { name: 'update', ...job(IN), text: '' } },
  { what: 'a field that is as expected, and one that is absent', document: READ, before: [legacy(IN), target(IN)], operation: { name: 'update', ...job(IN), fields: { n: '2' }, expect: { n: '1', done: null } } },
  { what: 'a field that is not as expected', document: READ, before: [legacy(IN), target(IN)], operation: { name: 'update', ...job(IN), fields: { n: '2' }, expect: { n: '7' } } },
  { what: 'the workspace field', document: READ, before: [legacy(IN)], operation: { name: 'update', ...job(IN), fields: { workspace_id: 'w2' } } },
  { what: 'with an operation id', document: READ, before: [legacy(IN)], operation: { name: 'update', ...job(IN), fields: { n: '2' }, operationId: 'op-1' } },
  { what: 'commands on both keys', document: READ, before: [legacy(IN, undefined, at), target(IN, undefined, at)], operation: { name: 'mutate', ...job(IN), commands: [['HINCRBY', 'n', '9007199254740993'], ['HINCRBYFLOAT', 'f', '0.5'], ['HSET', 'a', 'é'], ['HDEL', 'gone']] } },
  { what: 'a command that fails undoes those before', document: READ, before: [legacy(IN, { workspace_id: 'w1', n: 'x' }, at), target(IN, { workspace_id: 'w1', n: 'x' }, at)], operation: { name: 'mutate', ...job(IN), commands: [['HSET', 'a', '1'], ['HINCRBY', 'n', '1']] } },
  { what: 'a command on the workspace field', document: READ, before: [legacy(IN)], operation: { name: 'mutate', ...job(IN), commands: [['HDEL', 'workspace_id']] } },
  { what: 'an absolute expiry on both keys', document: READ, before: [legacy(IN), target(IN)], operation: { name: 'expire', ...job(IN), expiresAt: at } },
  { what: 'a time to live on both keys', document: READ, before: [legacy(IN), target(IN)], operation: { name: 'expire', ...job(IN), ttlMs: 60_000 } },
  { what: 'an expiry taken away', document: READ, before: [legacy(IN, undefined, at), target(IN, undefined, at)], operation: { name: 'expire', ...job(IN), persist: true } },
  { what: 'an expiry in the past deletes the job', document: READ, before: [legacy(IN), target(IN)], operation: { name: 'expire', ...job(IN), expiresAt: PAST } },
  { what: 'no such job', document: READ, operation: { name: 'expire', ...job(IN), persist: true } },
  { what: "another workspace's job", document: READ, before: [legacy(IN, { workspace_id: 'w2' })], operation: { name: 'delete', ...job(IN) } },
  { what: "another workspace's job, and a target of the caller's", document: DUAL, before: [legacy(IN, { workspace_id: 'w2' }), target(IN)], operation: { name: 'delete', ...job(IN) } },
  { what: 'an entry in the form of the phase', document: DUAL, before: [legacy(IN)], operation: { name: 'push', ...job(IN), queue: 'ai:queue' } },
  { what: 'an entry in the form of the phase', document: READ, before: [legacy(IN)], operation: { name: 'push', ...job(IN), queue: 'ai:queue' } },
  { what: 'no such job', document: READ, operation: { name: 'push', ...job(IN), queue: 'ai:queue' } },
  { what: 'a queue key that is no list', document: READ, before: [legacy(IN), string('ai:queue', 'x')], operation: { name: 'push', ...job(IN), queue: 'ai:queue' } },
  { what: 'an epoch below the fence', document: DUAL, fence: [string(CONTROL.fence, '3')], before: [legacy(IN)], operation: { name: 'get', ...job(IN) } },
  { what: 'an epoch below the fence', document: DUAL, fence: [string(CONTROL.fence, '3')], operation: { name: 'create', ...job(IN), value } },
  { what: 'the epoch of the fence', document: DUAL, fence: [string(CONTROL.fence, '2')], operation: { name: 'create', ...job(IN), value } },
  { what: 'no fence, epoch 2', document: DUAL, fence: [], before: [legacy(IN)], operation: { name: 'get', ...job(IN) } },
  { what: 'no fence, epoch 1', document: 'Legacy', fence: [], before: [legacy(IN)], operation: { name: 'get', ...job(IN) } },
  { what: 'a fence, epoch 0', document: null, fence: [string(CONTROL.fence, '1')], before: [legacy(IN)], operation: { name: 'get', ...job(IN) } },
  { what: 'other templates', document: 'other ReadRouting 50 %', fence: [string(controlOf(OTHER).fence, '1')], operation: { name: 'create', ...job('j1'), value: { n: '1' }, queue: 'job-queue' } },
]

/** Fields of which one is no UTF-8: `{"n": 0xff}`. */
const raw = (key: string): KeyState => ({
  key,
  type: 'hash',
  value: [
    ['workspace_id', 'w1'],
    ['n', { base64: '/w==' }],
  ],
})
/** What an update of the job's text, done under `op-1`, left behind: its answer, packed. */
const done: KeyState = hash(CONTROL.operation('op-1'), { what: `update-text 2 w1 ai:job:${IN}` })
const packed = { ...done, value: [...(done.value as Wire[]), ['answer', { base64: 'kqJPS6Ew' }]] }
const repeat = { name: 'update', ...job(IN), text, operationId: 'op-1' } as const
// prettier-ignore
const BYTES: OperationCase[] = [
  { what: 'a field that is no UTF-8 is not handed out', document: READ, before: [raw(`ai:job:${IN}`), raw(`ai:job:w1:${IN}`)], operation: { name: 'get', ...job(IN) } },
  { what: 'a field that is no UTF-8 stays as it is', document: READ, before: [raw(`ai:job:${IN}`), raw(`ai:job:w1:${IN}`)], operation: { name: 'update', ...job(IN), fields: { m: '2' } } },
  { what: 'U+FFFD is not what a field that is no UTF-8 holds', document: READ, before: [raw(`ai:job:${IN}`)], operation: { name: 'update', ...job(IN), fields: { m: '2' }, expect: { n: '\ufffd' } } },
  { what: 'a repeat of what was done, whose job is gone', document: READ, encoding: 'json', before: [packed], operation: repeat },
  { what: 'a repeat of what was not done, whose job is gone', document: READ, encoding: 'json', operation: repeat },
  { what: 'a repeat of what was done', document: READ, encoding: 'json', before: [packed, string(`ai:job:${IN}`, '{"workspace_id":"w1"}')], operation: repeat },
]

const names = ['ai:job:j1', 'ai:job:w1:j1', 'ai:job:w1:j2', 'ai:job:w2:j3', 'ai:job:j4:x:y', 'ai:job:j5', 'ai:job:']
const LISTS: OperationCase[] = ['Legacy', 'Legacy again', DUAL, READ].map((document) => ({
  what: 'names that SCAN gave, of which some are no job of the workspace',
  document,
  before: [
    legacy('j1'),
    target('j1'),
    target('j2'),
    hash('ai:job:w2:j3', { workspace_id: 'w2' }),
    legacy('j5', { workspace_id: 'w2' }),
  ],
  operation: { name: 'list', workspaceId: 'w1', scanned: names },
}))
LISTS.push({
  what: 'a workspace that no key can be made of',
  document: DUAL,
  operation: { name: 'list', workspaceId: 'w:1', scanned: names },
})

const queue = 'ai:queue'
const leaseMs = 60_000
const dequeue = { name: 'dequeue', queue, leaseMs } as const
// prettier-ignore
const QUEUES: OperationCase[] = [
  { what: 'an empty queue', document: READ, operation: dequeue },
  { what: 'a queue key that is no list', document: READ, before: [string(queue, 'x')], operation: dequeue },
  { what: 'a job id', document: DUAL, before: [list(queue, 'j1'), legacy('j1')], operation: dequeue },
  { what: 'the oldest is the last of the list', document: READ, before: [list(queue, 'j2', 'j1'), legacy('j1'), legacy('j2')], operation: dequeue },
  { what: 'a job id in later phases', document: READ, before: [list(queue, 'j1'), legacy('j1')], operation: { ...dequeue, then: 'read' } },
  { what: 'a pair', document: VERIFY, before: [list(queue, 'w1:j1'), legacy('j1'), target('j1')], operation: { ...dequeue, then: 'read' } },
  { what: 'a pair that a later phase wrote', document: DUAL, before: [list(queue, 'w1:j1'), legacy('j1')], operation: { ...dequeue, then: 'read' } },
  { what: 'a pair whose job is of another workspace', document: VERIFY, before: [list(queue, 'w1:j1'), legacy('j1', { workspace_id: 'w2' })], operation: dequeue },
  { what: 'a job id with the delimiter, before any target', document: 'Legacy', before: [list(queue, 'w1:j1'), legacy('w1:j1'), legacy('j1')], operation: { ...dequeue, then: 'read' } },
  { what: 'a job id with the delimiter, once there may be targets', document: 'Legacy again', before: [list(queue, 'a:b:c'), legacy('a:b:c', { n: 1 }), legacy('j1')], operation: dequeue },
  { what: 'a job without a workspace, epoch 1', document: 'Legacy', before: [list(queue, 'j1'), legacy('j1', { n: 1 })], operation: { ...dequeue, then: 'read' } },
  { what: 'a job without a workspace, later', document: DUAL, before: [list(queue, 'j1'), legacy('j1', { n: 1 })], operation: dequeue },
  { what: 'an entry whose job is gone, then one whose job is there', document: READ, before: [list(queue, 'w1:j2', 'gone'), target('j2')], operation: dequeue },
  { what: 'a malformed entry goes to the dead list', document: VERIFY, before: [list(queue, 'a:b:c')], operation: dequeue },
  { what: 'an entry that is no UTF-8', document: VERIFY, before: [list(queue, { base64: '/w==' })], operation: dequeue },
  { what: 'the work is done', document: READ, before: [list(queue, 'w1:j1'), hash(CONTROL.queued(queue), { 'w1:j1': 'w1' }), hash(CONTROL.depth, { w1: 1 }), legacy('j1')], operation: { ...dequeue, then: 'ack' } },
  { what: 'back to the end of the queue', document: READ, before: [list(queue, 'w1:j2', 'w1:j1'), legacy('j1')], operation: { ...dequeue, then: 'nack' } },
  { what: 'held longer', document: READ, before: [list(queue, 'w1:j1'), legacy('j1')], operation: { ...dequeue, then: 'extend' } },
  { what: 'an epoch below the fence', document: DUAL, fence: [string(CONTROL.fence, '3')], before: [list(queue, 'j1'), legacy('j1')], operation: dequeue },
]
const reap = { name: 'reap', queue, leaseMs } as const
// prettier-ignore
const REAPS: OperationCase[] = [
  { what: 'a lease that has ended', document: DUAL, before: [...held('j1', PAST), legacy('j1')], operation: reap },
  { what: 'the entry comes back in the form of the phase', document: READ, before: [...held('j1', PAST), legacy('j1')], operation: reap },
  { what: 'a pair of a later phase', document: DUAL, before: [...held('w1:j1', PAST), legacy('j1')], operation: reap },
  { what: 'a lease that has not ended', document: READ, before: [...held('w1:j1', FUTURE), legacy('j1')], operation: reap },
  { what: 'an entry without a lease gets one', document: READ, before: [list(CONTROL.processing(queue), 'w1:j1'), legacy('j1')], operation: reap },
  { what: 'its job is gone', document: READ, before: held('w1:j1', PAST), operation: reap },
  { what: 'it is malformed', document: READ, before: held('a:b:c', PAST), operation: reap },
  { what: 'a job id with the delimiter, before any target', document: 'Legacy', before: [...held('a:b:c', PAST), legacy('a:b:c')], operation: reap },
]

export const OPERATIONS: readonly OperationCase[] = [
  ...everywhere(),
  ...CREATES,
  ...OTHERS,
  ...BYTES,
  ...LISTS,
  ...QUEUES,
  ...REAPS,
].map((c) => ({ ...c, fence: c.fence ?? fenceFor(c.document) }))
