import fc from 'fast-check'
import { REASONS } from '../../../src/api/reasons.ts'
import type { Spec, SpecInput } from '../../../src/api/schema.ts'
import type { Status } from '../../../src/api/status.ts'
import { decide } from '../../../src/decision/decide.ts'
import { compareStates, rungsOf, nextState } from '../../../src/decision/ladder.ts'
import type { Outcome } from '../../../src/decision/types.ts'
import { PHASES, routingState, type Phase } from '../../../src/protocol/phases.ts'
import { specOf } from '../../unit/decision/builders.ts'
import { areAdjacent, routingOf, World, type Transition } from './world.ts'

const QUICK: Partial<SpecInput> = {
  app: { workloads: [{ kind: 'Deployment', name: 'api' }], joinTimeout: '10s' },
  phases: {
    dualWrite: {
      steps: [
        { percent: 10, soak: '60s' },
        { percent: 50, soak: '30s' },
      ],
    },
    readRouting: { steps: [{ percent: 50, soak: '30s' }] },
    backfillVerify: { soak: '60s' },
  },
}

function quick(targetPhase: Phase, over: Partial<SpecInput> = {}): Spec {
  return specOf({ ...QUICK, targetPhase, ...over })
}

function isReached(world: World): boolean {
  const { conditions, observedGeneration } = world.status ?? {}
  const reached = conditions?.find(({ type }) => type === 'TargetReached')?.status === 'True'
  return reached && observedGeneration === world.generation
}

function path(world: World): string[] {
  return world.transitions.map(({ to }) => routingOf(to))
}

/** One thing that happens to the world between two passes. */
type Happening = (world: World) => void

const happenings: fc.Arbitrary<Happening> = fc.oneof(
  fc
    .record({ phase: fc.constantFrom(...PHASES), percent: fc.constantFrom(0, 5, 10, 50, 70, 100) })
    .map(({ phase, percent }): Happening => (world) => {
      world.edit({ ...world.spec, targetPhase: phase, canaryPercentage: percent })
    }),
  fc.boolean().map(
    (paused): Happening =>
      (world) =>
        world.edit({ ...world.spec, paused }),
  ),
  fc.constantFrom<Outcome>('Pass', 'Pass', 'Fail', 'Inconclusive', 'Error').map(
    (outcome): Happening =>
      (world) =>
        void (world.checks = outcome),
  ),
  fc.boolean().map(
    (up): Happening =>
      (world) =>
        void (world.redisUp = up),
  ),
  fc.boolean().map(
    (fails): Happening =>
      (world) =>
        void (world.workFails = fails),
  ),
  fc.boolean().map(
    (unaware): Happening =>
      (world) =>
        void (world.unaware = unaware),
  ),
  fc.array(fc.integer({ min: 0, max: 30_000 }), { minLength: 2, maxLength: 2 }).map(
    (lags): Happening =>
      (world) =>
        world.lag((_, i) => lags[i] ?? 0),
  ),
  fc.integer({ min: 0, max: 1 }).map((i): Happening => (world) => {
    const client = world.clients[i]
    if (client !== undefined) client.alive = !client.alive
  }),
  fc.boolean().map((behind): Happening => (world) => {
    const before = world.transitions.at(-1)?.fence
    world.failOver(
      behind ? { record: world.past.at(-1)?.record, ...(before === undefined ? {} : { fence: before }) } : {},
    )
  }),
  fc.constant<Happening>((world) => void (world.annotations = { 'keyshift.dev/retry': String(world.now) })),
  fc.constant<Happening>((world) => void (world.fallbackReads = world.backfilled ? 3 : 0)),
  fc.integer({ min: 1, max: 4 }).map(
    (back): Happening =>
      (world) =>
        world.restoreStatus(back),
  ),
  fc.integer({ min: 2, max: 12 }).map(
    (passes): Happening =>
      (world) =>
        world.setBackStatus(passes),
  ),
  fc.constant<Happening>((world) => world.jobs.pop()),
)

function checkTransition({ from, to, clients, fence, abort }: Transition, spec: Spec): void {
  expect(to.epoch).toBe((from?.epoch ?? 0) + 1)
  expect(areAdjacent(from, to)).toBe(true)
  // Every client that the fence lets in routes as one of two adjacent states.
  const allowed = clients.filter((doc) => (doc?.epoch ?? 0) >= fence && (doc !== undefined || fence === 0))
  const routings = new Map([...allowed, from, to].map((doc) => [routingOf(doc), doc]))
  expect([...routings.keys()].length).toBeLessThanOrEqual(2)
  const [a, b] = [...routings.values()]
  expect(areAdjacent(a, b ?? a)).toBe(true)
  if (from === undefined || abort) return
  expect(fence).toBeGreaterThanOrEqual(from.epoch)
  if (compareStates(to, from) > 0) {
    const cap = to.phase === spec.targetPhase ? spec.canaryPercentage : 100
    const ends = rungsOf(spec, to.phase, cap).at(-1)?.state ?? to
    expect(routingOf(to)).toBe(routingOf({ ...to, ...nextState(spec, from, ends) }))
  }
}

function checkPass(world: World, before: Status | undefined): void {
  const decision = world.decisions.at(-1)
  if (decision === undefined) return
  for (const { reason } of [...decision.events, ...(decision.status.conditions ?? [])])
    expect(Object.keys(REASONS)).toContain(reason)
  expect(JSON.stringify(decision.status).length).toBeLessThan(64 * 1024)
  const epochs = [before?.epoch ?? 0, decision.status.epoch ?? 0]
  expect((epochs[1] ?? 0) - (epochs[0] ?? 0)).toBeGreaterThanOrEqual(0)
}

describe('a whole walk', () => {
  test('goes from Legacy to BackfillVerify through every state and back by one state for each phase', () => {
    const world = new World(quick('BackfillVerify'))
    world.run(400, isReached)
    world.edit(quick('Legacy'))
    world.run(100, isReached)
    expect(isReached(world)).toBe(true)
    expect(path(world)).toEqual([
      'Legacy 0 0',
      'DualWrite 10 0',
      'DualWrite 50 0',
      'DualWrite 100 0',
      'ReadRouting 100 50',
      'ReadRouting 100 100',
      'BackfillVerify 100 100',
      'ReadRouting 100 100',
      'DualWrite 100 0',
      'Legacy 0 0',
    ])
  })

  test('whatever happens, epochs rise by one, states are adjacent, and nothing runs ahead of gate and fence', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...PHASES),
        fc.array(fc.tuple(happenings, fc.integer({ min: 1, max: 25 })), { minLength: 1, maxLength: 14 }),
        (target, story) => {
          const world = new World(quick(target))
          let checked = 0
          for (const [happens, ticks] of [[() => undefined, 10] as const, ...story]) {
            happens(world)
            for (let i = 0; i < ticks; i += 1) {
              const before = world.status
              world.tick()
              checkPass(world, before)
              for (; checked < world.transitions.length; checked += 1) {
                const transition = world.transitions[checked]
                if (transition !== undefined) checkTransition(transition, world.spec)
              }
            }
          }
          // However it went, a healed world reaches what is asked for.
          world.heal()
          world.edit({ ...world.spec, targetPhase: target, canaryPercentage: 100, paused: false })
          for (let i = 0; i < 4 && !isReached(world); i += 1) {
            world.answer()
            world.run(150, isReached)
          }
          expect(world.status?.awaits).toContain('is reached')
        },
      ),
      { numRuns: 30 },
    )
  })

  test('the same inputs give the same status: decided twice, nothing is written twice', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...PHASES),
        fc.array(fc.tuple(happenings, fc.integer({ min: 1, max: 20 })), { maxLength: 10 }),
        (target, story) => {
          const world = new World(quick(target))
          for (const [happens, ticks] of [[() => undefined, 10] as const, ...story]) {
            happens(world)
            for (let i = 0; i < ticks; i += 1) {
              for (const live of [false, true]) {
                const observed = world.observe(live)
                const once = decide(world.resource, observed, world.now)
                const again = decide({ ...world.resource, status: once.status }, observed, world.now)
                expect(again.status).toEqual(once.status)
              }
              world.tick()
            }
          }
        },
      ),
      { numRuns: 15 },
    )
  })

  test('a settled or healthily soaking state writes and does nothing as time passes', () => {
    const steady = { ...quick('DualWrite', { canaryPercentage: 10 }) }
    const long = { ...steady, phases: { ...steady.phases, dualWrite: { steps: [{ percent: 10, soak: '48h' }] } } }
    const world = new World(long)
    world.run(30)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3_500_000 }), (ms) => {
        const start = world.now
        world.now += ms
        const decision = decide(world.resource, world.observe(false), world.now)
        world.now = start
        expect(decision.status.awaits).toMatch(/soaks until/)
        expect(decision.status).toEqual(world.status)
        expect(decision.actions).toEqual([])
        expect(decision.events).toEqual([])
      }),
    )
  })

  test('checks that never pass never move a phase', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom<Outcome>('Fail', 'Inconclusive', 'Error'), { minLength: 1, maxLength: 20 }),
        fc.constantFrom<'Rollback' | 'Pause'>('Rollback', 'Pause'),
        (outcomes, onFailure) => {
          const spec = quick('BackfillVerify')
          const world = new World({ ...spec, slo: { ...spec.slo, onFailure } })
          world.run(60, (w) => w.status?.phase === 'DualWrite')
          world.lag(() => 0)
          world.tick()
          for (const outcome of outcomes) {
            world.checks = outcome
            world.run(20)
          }
          expect(path(world).slice(0, 2)).toEqual(['Legacy 0 0', 'DualWrite 10 0'])
          for (const later of path(world).slice(2)) expect(later).toBe('Legacy 0 0')
        },
      ),
      { numRuns: 20 },
    )
  })

  test('the next state forward is never more than one rung away', () => {
    const percents = fc.uniqueArray(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 6 })
    const steps = percents.map((list) => [...list].sort((a, b) => a - b).map((percent) => ({ percent, soak: '1s' })))
    fc.assert(
      fc.property(
        steps,
        steps,
        fc.constantFrom(...PHASES),
        fc.integer({ min: 0, max: 100 }),
        (creates, reads, phase, cap) => {
          const spec = quick(phase, {
            phases: { dualWrite: { steps: creates }, readRouting: { steps: reads }, backfillVerify: { soak: '1s' } },
          })
          const destination = rungsOf(spec, phase, cap).at(-1)?.state ?? routingState(phase, 0, cap)
          const walk = [routingState('Legacy', 0, 0)]
          for (let at = walk[0]; at !== undefined && compareStates(at, destination) < 0; at = walk.at(-1)) {
            const next = nextState(spec, at, destination)
            expect(compareStates(next, at)).toBeGreaterThan(0)
            walk.push(next)
            expect(walk.length).toBeLessThan(20)
          }
          expect(compareStates(walk.at(-1) ?? destination, destination)).toBe(0)
          const all = PHASES.flatMap((each) => rungsOf(spec, each, each === phase ? cap : 100))
          const wanted = all.filter(({ state }) => compareStates(state, destination) <= 0).map(({ state }) => state)
          expect(walk).toEqual(wanted)
        },
      ),
    )
  })
})

test('a latch that was written to the record outlives every loss of status, until it is answered', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<Phase>('DualWrite', 'ReadRouting', 'BackfillVerify'),
      fc.array(fc.tuple(fc.constantFrom('lost', 'old', 'copy'), fc.integer({ min: 1, max: 30 })), { maxLength: 6 }),
      (phase, losses) => {
        const world = new World(quick('BackfillVerify'))
        world.run(400, (w) => w.status?.phase === phase && w.status.convergedAt !== undefined)
        world.checks = 'Fail'
        world.run(100, (w) => w.record?.kept?.failed !== undefined)
        world.checks = 'Pass'
        const failed = world.record?.kept?.failed
        for (const [how, back] of losses) {
          if (how === 'lost') world.status = undefined
          else if (how === 'old') world.restoreStatus(back % 4)
          else world.setBackStatus(back)
          world.run(40)
        }
        expect(failed?.phase).toBe(phase)
        expect(world.status?.failed).toEqual(failed)
        const safe = phase === 'DualWrite' ? 'Legacy' : 'DualWrite'
        world.run(100)
        expect(world.status?.phase).toBe(safe)
      },
    ),
    { numRuns: 12 },
  )
})

describe('a spec that the CRD accepts', () => {
  const text = (min: number, max: number) => fc.string({ minLength: min, maxLength: max, unit: 'grapheme' })
  const duration = fc.constantFrom('0s', '1ms', '1.5h', '9999999h9999999h9999999h9999999h', '30s')
  const steps = fc
    .uniqueArray(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 5 })
    .chain((percents) =>
      fc.tuple(...percents.sort((a, b) => a - b).map((percent) => duration.map((soak) => ({ percent, soak })))),
    )
  const template = fc.oneof(
    text(1, 30),
    fc.tuple(text(0, 4), text(0, 3), text(0, 3)).map(([a, b, c]) => `${a}{job_id}${b}{w}${c}`),
    fc.constantFrom('a:{job_id}', 'a:{w}:{job_id}', 'b/{job_id}/{w}', '{job_id}', 'keyshift:{job_id}'),
  )
  const spec: fc.Arbitrary<SpecInput> = fc.record({
    targetPhase: fc.constantFrom(...PHASES),
    canaryPercentage: fc.integer({ min: 0, max: 100 }),
    paused: fc.boolean(),
    canary: fc.record({ by: fc.constantFrom('Job' as const, 'Workspace' as const) }),
    keys: fc.record({
      legacy: template,
      target: template,
      queues: fc.array(fc.record({ key: text(1, 200) }), { maxLength: 20 }),
    }),
    redis: fc.constant({ address: 'redis://redis:6379/0' }),
    app: fc.record({
      workloads: fc.constant([{ kind: 'Deployment' as const, name: 'api' }]),
      joinTimeout: duration,
    }),
    phases: fc.record({
      dualWrite: fc.record({ steps }),
      readRouting: fc.record({ steps }),
      backfillVerify: fc.record({ soak: duration }),
    }),
    slo: fc.constantFrom<SpecInput['slo']>({ disabled: true }, { prometheus: { address: 'http://p' } }),
  })

  test('is decided on, whatever is in it and whatever it was before', () => {
    fc.assert(
      fc.property(spec, spec, (first, second) => {
        const world = new World(specOf(first))
        world.run(12)
        world.edit(specOf(second))
        world.run(12)
        expect(world.status?.conditions?.some(({ type }) => type === 'Ready')).toBe(true)
      }),
      { numRuns: 60 },
    )
  })
})
