import { createKubeClient } from '../../../src/kube/client.ts'
import { KubeError } from '../../../src/kube/errors.ts'
import { Reflector } from '../../../src/kube/reflector.ts'
import type { ReflectorOptions } from '../../../src/kube/reflector.ts'
import { CONFIG_MAPS } from '../../../src/kube/resources.ts'
import type { ConfigMap } from '../../../src/kube/types.ts'
import { WatchHealth } from '../../../src/operator/watch-health.ts'
import { FakeClock, settle } from '../runtime/fake-clock.ts'
import { endedWatch, hangUp, json, openWatch, startFakeApiServer, status } from './fake-api-server.ts'
import type { Answer, FakeApiServer } from './fake-api-server.ts'

const object = (name: string, resourceVersion: string) => ({
  metadata: { namespace: 'ns', name, uid: `uid-${name}`, resourceVersion },
})
const event = (type: string, name: string, resourceVersion: string) => ({ type, object: object(name, resourceVersion) })
const list = (resourceVersion: string, ...items: object[]) => json(200, { metadata: { resourceVersion }, items })

let api: FakeApiServer
let clock: FakeClock
let stop: AbortController
let changes: string[]
let errors: { error: unknown; retryInMs: number }[]
let runs: Promise<void>[]

beforeEach(async () => {
  api = await startFakeApiServer()
  clock = new FakeClock()
  stop = new AbortController()
  changes = []
  errors = []
  runs = []
})
afterEach(async () => {
  stop.abort()
  await Promise.allSettled(runs)
  await api.stop()
})

function start(more: Partial<ReflectorOptions<ConfigMap>> = {}) {
  const reflector = new Reflector<ConfigMap>({
    client: createKubeClient(api.connection, { clock }),
    type: CONFIG_MAPS,
    clock,
    random: () => 0,
    onChange: (key, before, after) =>
      changes.push(`${key} ${before?.metadata.resourceVersion ?? '-'} ${after?.metadata.resourceVersion ?? '-'}`),
    onError: (error, retryInMs) => errors.push({ error, retryInMs }),
    ...more,
  })
  const run = reflector.run(stop.signal)
  runs.push(run)
  return { reflector, run }
}

/** Lets real I/O go on until the condition holds; time on the fake clock stands still. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await settle()
}

const asked = () =>
  api.seen.map((seen) => (seen.query.has('watch') ? `watch ${seen.query.get('resourceVersion')}` : 'list'))

/** Waits for the reflector to pause, and lets the pause pass. */
async function passPauses(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await until(() => clock.pending.length > 0)
    await clock.advance(clock.pending[0] as number)
  }
}

/** Lets pauses pass until so much time is over. */
async function pass(ms: number): Promise<void> {
  for (const end = clock.monotonic() + ms; clock.monotonic() < end;) await passPauses(1)
}

describe('Reflector (O1)', () => {
  it('lists, then watches from the version of the list', async () => {
    api.script(list('10', object('a', '3')), openWatch(event('ADDED', 'b', '11'), event('MODIFIED', 'a', '12')))
    const { reflector } = start({ namespace: 'ns', labelSelector: 'x=y' })
    expect(reflector.hasSynced).toBe(false)
    await reflector.synced
    expect(reflector.hasSynced).toBe(true)
    await until(() => changes.length === 3)
    expect(changes).toEqual(['ns/a - 3', 'ns/b - 11', 'ns/a 3 12'])
    expect(asked()).toEqual(['list', 'watch 10'])
    expect(api.seen.map((seen) => [seen.path, seen.query.get('labelSelector')])).toEqual([
      ['/api/v1/namespaces/ns/configmaps', 'x=y'],
      ['/api/v1/namespaces/ns/configmaps', 'x=y'],
    ])
  })

  it('has not synced before the last page', async () => {
    api.script(json(200, { metadata: { resourceVersion: '10', continue: 'p2' }, items: [object('a', '1')] }), hangUp)
    const { reflector } = start()
    await until(() => errors.length === 1)
    expect(reflector.hasSynced).toBe(false)
    expect(reflector.store.size).toBe(0)
  })

  it('keeps one request open and sends none while nothing happens', async () => {
    api.script(list('10'), openWatch())
    start()
    await until(() => api.watches.length === 1)
    await clock.advance(20_000)
    expect(api.seen).toHaveLength(2)
    expect(clock.pending).toEqual([])
  })

  it('goes on without a pause where a watch stopped that ran its time, bookmarks included', async () => {
    api.script(list('10'), openWatch(event('ADDED', 'a', '11'), event('BOOKMARK', '', '25')), openWatch())
    const { reflector } = start()
    await until(() => api.watches.length === 1 && changes.length === 1)
    clock.freeze(25_000)
    api.watches[0]?.end()
    await until(() => api.seen.length === 3)
    expect(asked()).toEqual(['list', 'watch 10', 'watch 25'])
    expect(errors).toEqual([])
    expect(clock.monotonic() - reflector.lastActivity).toBe(0)
  })

  it('goes on where it was after a cut connection, without listing again', async () => {
    api.script(list('10'), openWatch(event('ADDED', 'a', '11')), hangUp, openWatch(event('DELETED', 'a', '12')))
    start()
    await until(() => changes.length === 1)
    api.watches[0]?.destroy()
    await passPauses(2)
    await until(() => changes.length === 2)
    expect(asked()).toEqual(['list', 'watch 10', 'watch 11', 'watch 11'])
    expect(changes).toEqual(['ns/a - 11', 'ns/a 11 -'])
  })

  it.each<[string, Answer]>([
    ['410 in the stream', endedWatch({ type: 'ERROR', object: status(410, 'Expired') })],
    ['410 as the answer', json(410, status(410, 'Gone'))],
    ['a version from before a restore of etcd', json(504, status(504, 'Timeout', 'Too large resource version'))],
  ])('lists again after %s and finds what was deleted meanwhile', async (_, answer) => {
    api.script(list('10', object('a', '1'), object('b', '2')), answer, list('50', object('b', '40')), openWatch())
    start()
    await passPauses(1)
    await until(() => changes.length === 4)
    expect(asked().slice(0, 3)).toEqual(['list', 'watch 10', 'list'])
    await until(() => api.watches.length === 1)
    expect(asked()[3]).toBe('watch 50')
    expect(changes.slice(2)).toEqual(['ns/a 1 -', 'ns/b 2 40'])
  })

  it('waits as long as a busy server asks, then goes on without listing again', async () => {
    api.script(list('10'), json(429, status(429, 'TooManyRequests'), { 'retry-after': '7' }), openWatch())
    start()
    await until(() => clock.pending.length > 0)
    expect(clock.pending).toEqual([7000])
    await clock.advance(7000)
    await until(() => api.watches.length === 1)
    expect(asked()).toEqual(['list', 'watch 10', 'watch 10'])
  })

  it('waits half a minute at most, however long a server asks it to', async () => {
    api.script(list('10'), json(429, status(429, 'TooManyRequests'), { 'retry-after': '3600' }), openWatch())
    start()
    await until(() => clock.pending.length > 0)
    expect(clock.pending).toEqual([30_000])
  })

  it('finds within ten seconds what changed in seventy minutes without an answer, and its health was red meanwhile', async () => {
    const health = new WatchHealth({ clock, onError: () => undefined, onEnded: () => undefined })
    let away = false
    let edited = false
    api.otherwise((response, request) => {
      if (away) hangUp(response, request)
      else if (!request.query.has('watch')) list('10', object('a', '3'))(response, request)
      else openWatch(...(edited ? [event('MODIFIED', 'a', '12')] : []))(response, request)
    })
    const { reflector } = start({ onError: (error, retryInMs) => health.failed('configmaps', error, retryInMs) })
    health.add('configmaps', reflector)
    await until(() => api.watches.length === 1)
    expect(health.fault()).toBeUndefined()
    away = true
    api.watches[0]?.destroy()
    const before = api.seen.length
    await pass(70 * 60_000)
    expect(health.fault()).toMatch(/^the watch of configmaps gave no sign of life for 42\d\d s$/)
    expect(api.seen.length - before).toBeLessThan(70 * 6 + 10)
    away = false
    edited = true
    const back = clock.monotonic()
    await passPauses(1)
    await until(() => changes.length === 2)
    expect(clock.monotonic() - back).toBeLessThanOrEqual(10_000)
    expect(health.fault()).toBeUndefined()
    expect(api.watches).toHaveLength(1)
  })

  it('waits longer after each failure, at most ten seconds, whatever fails', async () => {
    api.script(list('10'), hangUp, endedWatch(), json(500, {}), hangUp, json(503, {}), hangUp, hangUp)
    api.otherwise(hangUp)
    start()
    await pass(45_000)
    expect(errors.slice(0, 7).map((e) => e.retryInMs)).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000])
    expect(errors.every(({ error }) => error instanceof KubeError)).toBe(true)
  })

  it.each<[string, Answer]>([
    ['refuses connections', hangUp],
    ['fails each request', json(500, {})],
    ['forbids each request', json(403, status(403, 'Forbidden'))],
    ['ends each watch at once', endedWatch()],
    ['answers each watch with 410', endedWatch({ type: 'ERROR', object: status(410, 'Expired') })],
  ])('sends a bounded number of requests in an hour to a server that %s', async (_, answer) => {
    api.otherwise((response, request) => (request.query.has('watch') ? answer : list('10'))(response, request))
    start({ random: () => 1 })
    await pass(3_600_000)
    // at least 5 s apart once the backoff is at its cap; a relist doubles the requests
    expect(api.seen.length).toBeLessThan(2 * 720 + 20)
    expect(api.seen.length).toBeGreaterThan(300)
    expect(api.watches.length).toBeLessThanOrEqual(1)
  })

  it('backs off also from a server that cuts each watch after three seconds, and misses nothing', async () => {
    let version = 10
    api.script(list('10'))
    api.otherwise((response, request) => openWatch(event('MODIFIED', 'a', String(++version)))(response, request))
    start()
    for (let i = 1; i <= 8; i++) {
      await until(() => changes.length === i)
      clock.freeze(3000)
      api.watches[0]?.destroy()
      await until(() => clock.pending.length > 0)
      expect(api.watches).toHaveLength(0)
      await passPauses(1)
    }
    expect(errors.map((e) => e.retryInMs)).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000])
    expect(changes.slice(0, 8).at(-1)).toBe('ns/a 17 18')
  })

  it('starts from the shortest pause again once a watch has lived', async () => {
    api.script(list('10'), hangUp, hangUp, hangUp, openWatch())
    api.otherwise(hangUp)
    start()
    await passPauses(3)
    await until(() => api.watches.length === 1)
    clock.freeze(20_000)
    api.watches[0]?.destroy()
    await until(() => errors.length === 4)
    expect(errors[3]?.retryInMs).toBe(500)
  })

  it('shows no sign of life while the server is away', async () => {
    api.script(list('10'))
    api.otherwise(hangUp)
    const { reflector } = start()
    await reflector.synced
    const alive = reflector.lastActivity
    await pass(600_000)
    expect(reflector.lastActivity).toBe(alive)
    expect(reflector.hasSynced).toBe(true)
  })

  it.each([
    ['an error', new RangeError('handler broke')],
    ['an error that looks like one of the API', new KubeError({ status: 0, reason: 'X', message: 'handler broke' })],
  ])('ends with %s that a change handler throws', async (_, thrown) => {
    api.script(list('10'), openWatch(event('ADDED', 'a', '11')))
    const { run } = start({
      onChange: () => {
        throw thrown
      },
    })
    await expect(run).rejects.toBe(thrown)
    await until(() => api.watches.length === 0)
    expect(errors).toEqual([])
  })

  it('ends in peace when told to stop, in a watch or in a pause', async () => {
    api.script(list('10'), openWatch())
    const { run } = start()
    await until(() => api.watches.length === 1)
    stop.abort()
    await run
    await until(() => api.watches.length === 0)

    stop = new AbortController()
    api.otherwise(hangUp)
    const second = start()
    await until(() => clock.pending.length > 0)
    stop.abort()
    await second.run
    expect(clock.pending).toEqual([])
  })
})
