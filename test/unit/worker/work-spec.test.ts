import { parseWork, WorkSpecError } from '../../../src/worker/work-spec.ts'

const good = {
  jobName: 'm-backfill-1',
  run: 'r',
  kind: 'backfill',
  legacy: 'ai:job:{job_id}',
  target: 'ai:job:{workspace_id}:{job_id}',
  workspaceField: 'workspace_id',
  ignore: [],
  allowEmpty: false,
  onMalformed: 'Block',
  queues: ['ai:queue'],
  redis: 'redis://redis.prod.svc:6379/0',
  maxKeysPerSecond: 20_000,
  maxRedisLatencyMs: 5,
  assume: {},
}

test('reads what the operator writes', () => {
  const work = parseWork(JSON.stringify({ ...good, kind: 'verify', direction: 'Both' }))
  expect(work.spec.kind).toBe('verify')
  expect(work.address).toEqual({ host: 'redis.prod.svc', port: 6379, db: 0 })
  expect(work.templates.delimiter).toBe(':')
})

test.each<[string, object, string]>([
  ['an unknown kind', { kind: 'cleanup' }, 'kind: '],
  ['a repair without direction', { kind: 'repair' }, 'direction: repair needs TargetToLegacy or Both'],
  ['a verify without direction', { kind: 'verify' }, 'direction: verify needs TargetToLegacy or Both'],
  ['an unknown field, as of a newer operator', { sentinel: {} }, 'sentinel'],
  ['a missing job name', { jobName: '' }, 'jobName: '],
  ['a rate of 0', { maxKeysPerSecond: 0 }, 'maxKeysPerSecond: '],
  ['a fraction of a key', { maxKeysPerSecond: 1.5 }, 'maxKeysPerSecond: '],
  ['no latency', { maxRedisLatencyMs: 0 }, 'maxRedisLatencyMs: '],
  ['equal templates', { target: good.legacy }, 'legacy, target: '],
  ['credentials in the address', { redis: 'redis://u:p@h:1/0' }, 'redis: '],
  ['an address without db', { redis: 'redis://h:1' }, 'redis: '],
])('refuses %s and names the field', (_name, change, message) => {
  const read = () => parseWork(JSON.stringify({ ...good, ...change }))
  expect(read).toThrow(WorkSpecError)
  expect(read).toThrow(message)
  expect(read).toThrow('KEYSHIFT_WORK cannot be used')
})

test('never repeats credentials', () => {
  expect(() => parseWork(JSON.stringify({ ...good, redis: 'redis://u:hunter2@h:1/0' }))).toThrow(/^(?!.*hunter2)/s)
})

test('names every field at fault at once', () => {
  expect(() => parseWork('{}')).toThrow(/jobName: .*kind: .*redis: /)
})
