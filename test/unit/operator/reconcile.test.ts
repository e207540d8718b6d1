import type { JobKeyMigration } from '../../../src/api/resource.ts'
import type { Status } from '../../../src/api/status.ts'
import type { Action, Decision, Observations } from '../../../src/decision/types.ts'
import type { KubeClient } from '../../../src/kube/client.ts'
import { KubeError } from '../../../src/kube/errors.ts'
import type { CrdState } from '../../../src/operator/crd.ts'
import type { ActionResult } from '../../../src/operator/execute/execute.ts'
import { Reconciler, type ReconcilerDeps } from '../../../src/operator/reconcile.ts'
import type { Logger } from '../../../src/platform/logger.ts'
import { FakeClock } from '../runtime/fake-clock.ts'
import { resource } from './objects.ts'

const silent: Logger = {
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  child: () => silent,
}
const OBSERVED = { cluster: 'c' } as Observations
const ACTION: Action = { type: 'MarkBackfilled', on: true }
const decision = (changes: Partial<Decision> = {}): Decision => ({
  status: {},
  actions: [],
  events: [],
  requeueAfterMs: 5000,
  wantsLive: false,
  ...changes,
})

/** One resource in a world of fakes; `did` is what happened, in order. */
class Bench {
  readonly did: string[] = []
  readonly clock = new FakeClock()
  readonly skew = { ms: 0 }
  stored: JobKeyMigration | undefined = resource()
  decision: Decision | ((live: boolean, given: JobKeyMigration, seen: Observations) => Decision) = decision()
  crd: CrdState = { state: 'current' }
  /** The CRD as a fresh look finds it, where that differs. */
  installed: CrdState | undefined
  result: ActionResult = { ok: true }
  patchFailure: Error | undefined
  gatherFailure: Error | undefined
  /** What the API server makes of a status. */
  store: (status: Status) => Status = (status) => status
  leads = true
  readonly #reconciler: Reconciler

  constructor() {
    const client = {
      get: () =>
        this.stored === undefined
          ? Promise.reject(new KubeError({ status: 404, reason: 'NotFound', message: 'x' }))
          : Promise.resolve(this.stored),
      patchStatus: (_type: unknown, _ref: unknown, patch: Status, resourceVersion: string) =>
        this.#patch(patch, resourceVersion),
    } as unknown as KubeClient
    const deps: ReconcilerDeps = {
      client,
      clock: this.clock,
      skew: this.skew,
      decide: (given, observations) =>
        typeof this.decision === 'function' ? this.decision(observations.live, given, observations) : this.decision,
      gather: async (_, live) => {
        if (this.gatherFailure !== undefined) throw this.gatherFailure
        this.did.push(live ? 'gather live' : 'gather')
        return { ...OBSERVED, live }
      },
      execute: async (context, action) => {
        this.did.push(`${action.type} at ${context.resource.metadata.resourceVersion}`)
        return this.result
      },
      forget: () => this.did.push('forget'),
      crd: { read: async (_, fresh) => (fresh === true ? (this.installed ?? this.crd) : this.crd) },
      events: { record: (_, type, reason) => void this.did.push(`event ${type} ${reason}`) },
      metrics: { show: (_, view) => void (view === undefined && this.did.push('metrics gone')) },
      log: silent,
      leads: () => this.leads,
    }
    this.#reconciler = new Reconciler(deps)
  }

  pass(signal = new AbortController().signal) {
    return this.#reconciler.reconcile('app/jobs', signal)
  }

  reason(type: string): string | undefined {
    return this.stored?.status?.conditions?.find((one) => one.type === type)?.reason
  }

  #patch(patch: Status, resourceVersion: string): Promise<JobKeyMigration> {
    this.did.push(`status ${JSON.stringify(Object.keys(patch))}`)
    if (this.patchFailure !== undefined) return Promise.reject(this.patchFailure)
    if (this.stored?.metadata.resourceVersion !== resourceVersion)
      return Promise.reject(new KubeError({ status: 409, reason: 'Conflict', message: 'x' }))
    const next = String(Number(resourceVersion) + 1)
    const merged = Object.entries({ ...this.stored.status, ...patch }).filter(([, value]) => value !== null)
    const status = this.store(Object.fromEntries(merged))
    this.stored = { ...this.stored, metadata: { ...this.stored.metadata, resourceVersion: next }, status }
    return Promise.resolve(this.stored)
  }
}

let bench: Bench
beforeEach(() => (bench = new Bench()))

describe('a pass that throws', () => {
  const refused = (status: number, message = 'cannot get resource "namespaces"') =>
    new KubeError({ status, reason: 'x', message })
  const fails = async (error: Error): Promise<void> => {
    bench.gatherFailure = error
    await expect(bench.pass()).rejects.toBe(error)
  }

  it.each([
    ['a right that is missing', refused(403), 'KubernetesRightsMissing: cannot get resource "namespaces". Grant it'],
    ['its own credential refused', refused(401), 'KubernetesRightsMissing: '],
    [
      'a fault of the program, without what it says',
      new TypeError('secret'),
      'OperatorFault: the operator failed with TypeError',
    ],
  ])('is told in status and by one Event, and everything known is kept: %s', async (_, error, said) => {
    bench.stored = resource({ status: { epoch: 3, awaits: 'Soaking: x' } })
    await fails(error)
    await fails(error)
    expect(bench.stored?.status).toMatchObject({ epoch: 3, awaits: expect.stringContaining(said) as string })
    expect(bench.stored?.status?.awaits).not.toContain('secret')
    const reason = said.split(':')[0] ?? ''
    expect([bench.reason('Ready'), bench.reason('Stalled')]).toEqual([reason, reason])
    expect(bench.did.filter((did) => did.startsWith('event'))).toEqual([`event Warning ${reason}`])
  })

  it('for a moment is no news; for longer it is waited for, until it passes', async () => {
    await fails(refused(503, 'no etcd'))
    await bench.clock.advance(4000)
    await fails(refused(503, 'no etcd'))
    expect(bench.did).toEqual([])
    await bench.clock.advance(1000)
    await fails(refused(503, 'no etcd'))
    expect(bench.stored?.status?.awaits).toMatch(/^KubernetesUnavailable: no etcd\. Wait/)
    bench.gatherFailure = undefined
    bench.decision = decision({ status: { epoch: 1 } })
    await bench.pass()
    expect(bench.stored?.status).toEqual({ epoch: 1 })
    await fails(refused(503, 'no etcd'))
    expect(bench.stored?.status).toEqual({ epoch: 1 })
  })

  it('is told by one Event where status cannot be written', async () => {
    bench.patchFailure = refused(403, 'cannot patch')
    await fails(refused(403))
    await bench.clock.advance(1000)
    await fails(refused(403))
    expect(bench.did.filter((did) => did.startsWith('event'))).toEqual(['event Warning KubernetesRightsMissing'])
  })

  it('because the process ends says nothing', async () => {
    bench.gatherFailure = refused(0)
    await expect(bench.pass(AbortSignal.abort())).rejects.toBe(bench.gatherFailure)
    await bench.clock.advance(60_000)
    bench.gatherFailure = refused(403)
    await expect(bench.pass(AbortSignal.abort())).rejects.toBe(bench.gatherFailure)
    expect(bench.did).toEqual([])
  })
})

describe('a pass', () => {
  it('gathers, writes the status, tells, and acts on what the API server returned', async () => {
    bench.decision = decision({
      status: { epoch: 1 },
      actions: [ACTION],
      events: [{ type: 'Normal', reason: 'StepTaken', message: '' }],
    })
    expect(await bench.pass()).toEqual({ requeueAfterMs: 5000 })
    expect(bench.did).toEqual(['gather', 'status ["epoch"]', 'event Normal StepTaken', 'MarkBackfilled at 11'])
  })

  it('writes nothing where the status is as it should be', async () => {
    bench.stored = resource({ status: { epoch: 1 } })
    bench.decision = decision({ status: { epoch: 1 } })
    await bench.pass()
    expect(bench.did).toEqual(['gather'])
  })

  it('gathers live before a forward step, and decides anew', async () => {
    bench.decision = (live) =>
      live
        ? decision({ actions: [ACTION] })
        : decision({ wantsLive: true, actions: [{ type: 'RaiseFence', epoch: 1 }] })
    await bench.pass()
    expect(bench.did).toEqual(['gather', 'gather live', 'MarkBackfilled at 10'])
  })

  it('carries out the guard of a step before its status is written', async () => {
    bench.decision = decision({ guard: { type: 'RaiseFence', epoch: 1 }, status: { epoch: 2 }, actions: [ACTION] })
    await bench.pass()
    expect(bench.did).toEqual(['gather', 'RaiseFence at 10', 'status ["epoch"]', 'MarkBackfilled at 11'])
  })

  it('writes nothing where the guard of a step is refused, and says so in the next pass', async () => {
    const told: unknown[] = []
    bench.result = { ok: false, reason: 'FenceNotConfirmed', message: 'x' }
    bench.decision = (_live, _given, { refused }) => {
      told.push(refused?.message)
      return decision({ guard: { type: 'RaiseFence', epoch: 1 }, status: { epoch: 2 }, actions: [ACTION] })
    }
    expect(await bench.pass()).toEqual({ requeueAfterMs: 2000 })
    await bench.pass()
    expect(bench.did).toEqual(['gather', 'RaiseFence at 10', 'gather', 'RaiseFence at 10'])
    expect(told).toEqual([undefined, 'x'])
  })

  it('looks again after five minutes at the latest', async () => {
    bench.decision = decision({ requeueAfterMs: 30 * 24 * 3_600_000 })
    expect(await bench.pass()).toEqual({ requeueAfterMs: 300_000 })
  })

  it('ends with the first action that is refused, and soon looks again', async () => {
    bench.result = { ok: false, reason: 'RedisUnreachable', message: 'x' }
    bench.decision = decision({ actions: [ACTION, { type: 'RaiseFence', epoch: 1 }], requeueAfterMs: 60_000 })
    expect(await bench.pass()).toEqual({ requeueAfterMs: 2000 })
    expect(bench.did).toEqual(['gather', 'MarkBackfilled at 10'])
  })

  it('is told what the one before was refused until it has gone through, and tries again less and less often', async () => {
    const told: unknown[] = []
    bench.result = { ok: false, reason: 'ActionRefused', message: 'exceeded quota' }
    bench.decision = (_live, _given, { refused }) => {
      told.push(refused && { action: refused.action, reason: refused.reason, message: refused.message })
      return decision({ actions: [ACTION], requeueAfterMs: 60_000 })
    }
    const again: unknown[] = []
    for (let pass = 0; pass < 6; pass++) again.push((await bench.pass())?.requeueAfterMs)
    expect(again).toEqual([2000, 4000, 8000, 16_000, 30_000, 30_000])
    const refused = { action: 'MarkBackfilled', reason: 'ActionRefused', message: 'exceeded quota' }
    expect(told).toEqual([undefined, refused, refused, refused, refused, refused])
    bench.result = { ok: true }
    expect(await bench.pass()).toEqual({ requeueAfterMs: 1 })
    expect(await bench.pass()).toEqual({ requeueAfterMs: 60_000 })
    expect(told.slice(6)).toEqual([refused, undefined])
  })

  it('says nothing of a refusal that comes of another writer', async () => {
    bench.result = { ok: false, reason: 'Conflict', message: 'x' }
    let told: unknown
    bench.decision = (_live, _given, { refused }) => {
      told = refused
      return decision({ actions: [ACTION] })
    }
    for (const _ of [1, 2]) expect(await bench.pass()).toEqual({ requeueAfterMs: 2000 })
    expect(told).toBeUndefined()
  })

  it('acts on nothing when another has written the status meanwhile, and starts again at once', async () => {
    bench.decision = () => {
      bench.stored = { ...resource(), metadata: { ...resource().metadata, resourceVersion: '99' } }
      return decision({
        status: { epoch: 1 },
        actions: [ACTION],
        events: [{ type: 'Normal', reason: 'StepTaken', message: '' }],
      })
    }
    expect(await bench.pass()).toEqual({ requeueAfterMs: 1 })
    expect(bench.did).toEqual(['gather', 'status ["epoch"]'])
  })

  it('fails, for the backoff of the queue, when the API server does', async () => {
    bench.decision = decision({ status: { epoch: 1 }, actions: [ACTION] })
    bench.patchFailure = new KubeError({ status: 500, reason: 'InternalError', message: 'x' })
    await expect(bench.pass()).rejects.toThrow()
    expect(bench.did).toEqual(['gather', 'status ["epoch"]'])
  })

  it('writes and does nothing once the lease is lost', async () => {
    bench.leads = false
    bench.decision = decision({ status: { epoch: 1 }, actions: [ACTION] })
    await bench.pass()
    expect(bench.did).toEqual(['gather'])
    bench.decision = decision({ actions: [ACTION] })
    await bench.pass()
    expect(bench.did).toEqual(['gather', 'gather'])
  })
})

describe('a resource', () => {
  it('that is gone is let go of', async () => {
    bench.stored = undefined
    expect(await bench.pass()).toBeUndefined()
    expect(bench.did).toEqual(['forget', 'metrics gone'])
  })

  it('that is being deleted is left as it is', async () => {
    bench.stored = { ...resource(), metadata: { ...resource().metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } }
    expect(await bench.pass()).toBeUndefined()
    expect(bench.did).toEqual(['forget', 'metrics gone'])
  })

  it('gets the defaults of its spec before it is decided upon', async () => {
    const { spec, ...rest } = resource()
    const { phases: _, ...bare } = spec
    bench.stored = { ...rest, spec: bare } as JobKeyMigration
    let seen: JobKeyMigration | undefined
    bench.decision = (_live, given) => {
      seen = given
      return decision()
    }
    await bench.pass()
    expect(seen?.spec.phases).toEqual(resource().spec.phases)
  })

  const invalid: readonly (readonly [string, object, RegExp])[] = [
    ['a field out of bounds', { ...resource().spec, canaryPercentage: 400 }, /spec\.canaryPercentage/],
    [
      'templates that are ambiguous',
      {
        ...resource().spec,
        keys: { ...resource().spec.keys, legacy: 'a:{job_id}', target: 'b{workspace_id}x{job_id}' },
      },
      /needs a delimiter/,
    ],
    [
      'a port that does not exist',
      { ...resource().spec, redis: { ...resource().spec.redis, address: 'redis://redis:99999/0' } },
      /spec\.redis: a Redis address is/,
    ],
    [
      'no time for a batch',
      { ...resource().spec, worker: { maxRedisLatency: '0s' } },
      /spec\.worker\.maxRedisLatency: no batch can be done in no time: write/,
    ],
    [
      'a check that no value passes',
      { ...resource().spec, slo: { ...resource().spec.slo, checks: [{ name: 'x', query: 'up', min: 2, max: 1 }] } },
      /spec\.slo\.checks: no value passes x, whose min is above its max: swap them/,
    ],
    [
      'a template with NUL',
      { ...resource().spec, keys: { ...resource().spec.keys, legacy: 'a\0:{job_id}' } },
      /spec\.keys: .*must not contain the character NUL/,
    ],
    [
      'an address of Prometheus that is no URL',
      { ...resource().spec, slo: { prometheus: { address: 'http://a b:9090' } } },
      /spec\.slo\.prometheus\.address: /,
    ],
  ]
  it.each(invalid)('with %s is Stalled/InvalidSpec, once, and nothing is done', async (_, spec, message) => {
    bench.stored = { ...resource(), spec } as JobKeyMigration
    bench.decision = decision({ actions: [ACTION] })
    await bench.pass()
    await bench.pass()
    expect(bench.reason('Stalled')).toBe('InvalidSpec')
    expect(bench.stored.status?.awaits).toMatch(message)
    expect(bench.did.filter((what) => what.startsWith('event'))).toEqual(['event Warning InvalidSpec'])
    expect(bench.did).toHaveLength(2)
  })
})

it.each([
  [3_600_000, /3600 s ahead of that of the API server/],
  [-3_600_000, /3600 s behind that of the API server/],
])('a clock that is off by %i ms stalls before anything is decided, in either direction', async (ms, says) => {
  bench.skew.ms = ms
  bench.decision = decision({ actions: [ACTION] })
  await bench.pass()
  expect(bench.reason('Stalled')).toBe('ClockSkew')
  expect(bench.stored?.status?.awaits).toMatch(says)
  expect(bench.did).toEqual(['status ["observedGeneration","awaits","conditions"]', 'event Warning ClockSkew'])
  bench.skew.ms = 59_000
  await bench.pass()
  expect(bench.did.at(-1)).toMatch(/MarkBackfilled/)
})

describe('a CRD (H1)', () => {
  it('that is too old stalls before anything is decided', async () => {
    bench.crd = { state: 'outdated', missing: ['spec.canaryPercentage'] }
    bench.decision = decision({ actions: [ACTION] })
    await bench.pass()
    expect(bench.reason('Stalled')).toBe('CRDOutdated')
    expect(bench.stored?.status?.awaits).toMatch(/lacks spec\.canaryPercentage/)
    expect(bench.did).toEqual(['status ["observedGeneration","awaits","conditions"]', 'event Warning CRDOutdated'])
  })

  it('is looked at anew before a forward step: a limit that the API server drops is no limit', async () => {
    bench.installed = { state: 'outdated', missing: ['spec.canaryPercentage'] }
    bench.decision = (live) => decision({ wantsLive: !live, actions: live ? [ACTION] : [] })
    expect(await bench.pass()).toEqual({ requeueAfterMs: 60_000 })
    expect(bench.reason('Stalled')).toBe('CRDOutdated')
    expect(bench.did).toEqual(['gather', expect.stringMatching(/^status/), 'event Warning CRDOutdated'])
  })

  it('that drops a field of the status stops everything, and is not asked again and again', async () => {
    bench.store = ({ epoch: _, ...rest }) => rest
    bench.decision = decision({ status: { epoch: 1, step: 0 }, actions: [ACTION] })
    await bench.pass()
    expect(bench.reason('Stalled')).toBe('CRDOutdated')
    expect(bench.stored?.status?.awaits).toMatch(/lacks status\.epoch/)
    expect(bench.did.filter((what) => what.startsWith('MarkBackfilled'))).toEqual([])
    const before = bench.did.length
    await bench.pass()
    expect(bench.did).toHaveLength(before)
    bench.store = (status) => status
    await bench.clock.advance(300_001)
    await bench.pass()
    expect(bench.did.at(-1)).toMatch(/MarkBackfilled/)
  })
})
