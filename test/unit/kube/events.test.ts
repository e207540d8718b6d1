import { createEventRecorder, referenceTo } from '../../../src/kube/events.ts'
import type { EventRecorderOptions } from '../../../src/kube/events.ts'
import { KubeError } from '../../../src/kube/errors.ts'
import type { KubeEvent, ObjectRef } from '../../../src/kube/types.ts'
import { FakeClock } from '../runtime/fake-clock.ts'

const MINUTE = 60_000
const target = {
  apiVersion: 'keyshift.dev/v1alpha1',
  kind: 'JobKeyMigration',
  metadata: { namespace: 'ns', name: 'ai-jobs', uid: 'u1', resourceVersion: '7' },
}

function setUp(more: Partial<EventRecorderOptions> = {}) {
  const clock = new FakeClock(Date.parse('2026-01-01T00:00:00.500Z'))
  const events = new Map<string, KubeEvent>()
  const writes: string[] = []
  const errors: string[] = []
  const dropped: string[] = []
  let failing: KubeError | undefined
  const write = (verb: string) => {
    writes.push(verb)
    if (failing !== undefined) throw failing
  }
  const client = {
    create: async (_type: unknown, object: unknown) => {
      write('create')
      const event = object as KubeEvent
      events.set(event.metadata.name ?? '', event)
      return object
    },
    mergePatch: async (_type: unknown, ref: ObjectRef, patch: object) => {
      write('patch')
      const known = events.get(ref.name)
      if (known === undefined) throw new KubeError({ status: 404, reason: 'NotFound', message: '' })
      events.set(ref.name, { ...known, ...patch })
      return known
    },
  } as EventRecorderOptions['client']
  const recorder = createEventRecorder({
    client,
    clock,
    component: 'keyshift',
    instance: 'keyshift-0',
    onError: (_, reason) => errors.push(reason),
    onDropped: (_, reason) => dropped.push(reason),
    ...more,
  })
  const written = async () => {
    await recorder.flush(1000)
    return [...events.values()].map(({ reason, message, count }) => [reason, message, count])
  }
  return { clock, events, writes, errors, dropped, recorder, written, fail: (e?: KubeError) => (failing = e) }
}

describe('event recorder', () => {
  it('writes an event that kubectl describe shows under its object', async () => {
    const { recorder, events, written } = setUp()
    recorder.record(target, 'Normal', 'PhaseChanged', 'Legacy -> DualWrite')
    await written()
    const [event] = events.values()
    expect(event).toEqual({
      metadata: { namespace: 'ns', name: expect.stringMatching(/^ai-jobs\.[0-9a-f]{16}$/) as string },
      involvedObject: {
        apiVersion: 'keyshift.dev/v1alpha1',
        kind: 'JobKeyMigration',
        namespace: 'ns',
        name: 'ai-jobs',
        uid: 'u1',
        resourceVersion: '7',
      },
      type: 'Normal',
      reason: 'PhaseChanged',
      message: 'Legacy -> DualWrite',
      count: 1,
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
      source: { component: 'keyshift' },
      reportingComponent: 'keyshift',
      reportingInstance: 'keyshift-0',
    })
  })

  it('counts repeats on the first event and moves its last time', async () => {
    const { recorder, clock, events, written, writes } = setUp()
    for (let i = 0; i < 3; i++) {
      recorder.record(target, 'Warning', 'Stalled', 'fence lost')
      await clock.advance(MINUTE)
    }
    expect(await written()).toEqual([['Stalled', 'fence lost', 3]])
    expect(writes).toEqual(['create', 'patch', 'patch'])
    const [event] = events.values()
    expect(event).toMatchObject({ firstTimestamp: '2026-01-01T00:00:00Z', lastTimestamp: '2026-01-01T00:02:00Z' })
  })

  it.each<[string, Parameters<ReturnType<typeof createEventRecorder>['record']>]>([
    ['another note', [target, 'Warning', 'Stalled', 'other']],
    ['another reason', [target, 'Warning', 'Paused', 'fence lost']],
    ['another type', [target, 'Normal', 'Stalled', 'fence lost']],
    [
      'another object',
      [{ ...target, metadata: { ...target.metadata, uid: 'u2' } }, 'Warning', 'Stalled', 'fence lost'],
    ],
  ])('keeps %s apart', async (_, repeat) => {
    const { recorder, clock, written } = setUp()
    recorder.record(target, 'Warning', 'Stalled', 'fence lost')
    await clock.advance(1000)
    recorder.record(...repeat)
    expect(await written()).toHaveLength(2)
  })

  it('counts on though the object changed meanwhile', async () => {
    const { recorder, clock, written } = setUp()
    recorder.record(target, 'Warning', 'Stalled', 'x')
    await clock.advance(1000)
    recorder.record({ ...target, metadata: { ...target.metadata, resourceVersion: '8' } }, 'Warning', 'Stalled', 'x')
    expect(await written()).toEqual([['Stalled', 'x', 2]])
  })

  it('starts anew when the server has forgotten the first event', async () => {
    const { recorder, clock, events, written, writes } = setUp()
    recorder.record(target, 'Normal', 'A', 'x')
    await written()
    events.clear()
    await clock.advance(MINUTE)
    recorder.record(target, 'Normal', 'A', 'x')
    expect(await written()).toEqual([['A', 'x', 1]])
    expect(writes).toEqual(['create', 'patch', 'create'])
  })

  it('starts anew before the server drops the first event by its age', async () => {
    const { recorder, clock, written, writes } = setUp()
    recorder.record(target, 'Normal', 'A', 'x')
    await clock.advance(55 * MINUTE)
    recorder.record(target, 'Normal', 'A', 'x')
    expect(await written()).toHaveLength(2)
    expect(writes).toEqual(['create', 'create'])
  })

  it('caps the events of one object and lets others through', async () => {
    const { recorder, clock, dropped, writes, written } = setUp({ burst: 3, refillMs: MINUTE })
    for (let i = 0; i < 10; i++) recorder.record(target, 'Normal', 'A', `note ${i}`)
    recorder.record({ ...target, metadata: { ...target.metadata, uid: 'other' } }, 'Normal', 'A', 'x')
    await written()
    expect(writes).toHaveLength(4)
    expect(dropped).toHaveLength(7)
    await clock.advance(2 * MINUTE)
    for (let i = 0; i < 10; i++) recorder.record(target, 'Normal', 'A', `later ${i}`)
    await written()
    expect(writes).toHaveLength(6)
  })

  it('does not save up allowance beyond its burst', async () => {
    const { recorder, clock, writes, written } = setUp({ burst: 2, refillMs: MINUTE })
    recorder.record(target, 'Normal', 'A', 'x')
    await clock.advance(1000 * MINUTE)
    for (let i = 0; i < 10; i++) recorder.record(target, 'Normal', 'A', `note ${i}`)
    await written()
    expect(writes).toHaveLength(3)
  })

  it('reports what it cannot write, throws nothing and goes on with the next', async () => {
    const { recorder, errors, fail, written } = setUp()
    fail(new KubeError({ status: 403, reason: 'Forbidden', message: 'no' }))
    recorder.record(target, 'Normal', 'Lost', 'x')
    await written()
    fail(undefined)
    recorder.record(target, 'Normal', 'Written', 'x')
    expect(await written()).toEqual([['Written', 'x', 1]])
    expect(errors).toEqual(['Lost'])
  })

  it.each([
    ['long text', 'x'.repeat(5000)],
    ['long text of wide characters', 'ж'.repeat(2000)],
    ['long text of emoji', '🚚'.repeat(1000)],
  ])('cuts %s to the 1024 bytes the API takes, never inside a character', async (_, note) => {
    const { recorder, events, written } = setUp()
    recorder.record(target, 'Normal', 'A', note)
    await written()
    const message = [...events.values()][0]?.message ?? ''
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(1024)
    expect(Buffer.byteLength(message)).toBeGreaterThan(1015)
    expect(message).not.toContain('\uFFFD')
    expect(message.endsWith('...')).toBe(true)
  })

  it('keeps the name of an event within what a name may be', async () => {
    const { recorder, events, written } = setUp()
    recorder.record({ ...target, metadata: { ...target.metadata, name: 'n'.repeat(253) } }, 'Normal', 'A', 'x')
    await written()
    expect([...events.keys()][0]?.length).toBeLessThanOrEqual(253)
  })

  it('ends its flush at the limit when the server hangs', async () => {
    const client = {
      create: () => new Promise(() => undefined),
      mergePatch: () => new Promise(() => undefined),
    } as EventRecorderOptions['client']
    const { recorder, clock } = setUp({ client })
    recorder.record(target, 'Normal', 'A', 'x')
    const flushed = recorder.flush(2000)
    await clock.advance(2000)
    await flushed
  })

  it('does not pile up events without end while the server hangs', () => {
    const client = {
      create: () => new Promise(() => undefined),
      mergePatch: () => new Promise(() => undefined),
    } as EventRecorderOptions['client']
    const { recorder, dropped } = setUp({ client, burst: 1000 })
    for (let i = 0; i < 1000; i++) recorder.record(target, 'Normal', 'A', `note ${i}`)
    expect(dropped).toHaveLength(800)
  })
})

describe('referenceTo', () => {
  it('takes a reference as it is', () => {
    const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'a', namespace: 'ns' }
    expect(referenceTo(reference)).toBe(reference)
  })
})
