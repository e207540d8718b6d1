import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { LeaderElector, leaderIdentity, microTime } from '../../../src/kube/lease.ts'
import type { ElectorOptions } from '../../../src/kube/lease.ts'
import { FakeClock } from '../runtime/fake-clock.ts'
import { FakeLeaseServer } from './fake-lease-server.ts'

const HOUR = 3_600_000

function startElector(server: FakeLeaseServer, identity: string, clock: FakeClock, more: Partial<ElectorOptions> = {}) {
  const client = server.client()
  const said: string[] = []
  const errors: unknown[] = []
  let leadership: AbortSignal | undefined
  const elector = new LeaderElector({
    client,
    clock,
    identity,
    lease: { namespace: 'ns', name: 'keyshift' },
    random: () => 0.5,
    onStartedLeading: (signal) => {
      leadership = signal
      said.push('leading')
    },
    onLost: (reason) => said.push(`lost, leadership ${leadership?.aborted ? 'over' : 'still on'}: ${reason}`),
    onError: (error) => errors.push(error),
    ...more,
  })
  const stop = new AbortController()
  const run = elector.run(stop.signal)
  return { elector, client, said, errors, stop, run, leadership: () => leadership }
}

describe('LeaderElector', () => {
  it('leads at once where no lease exists, and writes it as the API demands', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock(Date.parse('2026-03-04T05:06:07.089Z'))
    const { elector, said } = startElector(server, 'a', clock)
    await clock.advance(0)
    expect(said).toEqual(['leading'])
    expect(elector.isLeader).toBe(true)
    expect(server.lease?.spec).toEqual({
      holderIdentity: 'a',
      leaseDurationSeconds: 15,
      acquireTime: '2026-03-04T05:06:07.089000Z',
      renewTime: '2026-03-04T05:06:07.089000Z',
      leaseTransitions: 0,
    })
  })

  it('renews with one request every two seconds and nothing more', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    startElector(server, 'a', clock)
    await clock.advance(0)
    server.requests.length = 0
    const { acquireTime } = server.lease?.spec ?? {}
    await clock.advance(60_000)
    expect(server.requests).toEqual(Array.from({ length: 30 }, () => 'patch'))
    expect(server.lease?.spec).toMatchObject({ acquireTime, renewTime: microTime(clock.now()), leaseTransitions: 0 })
  })

  it('waits while another one renews, however long', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    startElector(server, 'a', clock)
    await clock.advance(0)
    const b = startElector(server, 'b', clock)
    await clock.advance(HOUR)
    expect(b.elector.status).toBe('competing')
    expect(b.elector.holder).toBe('a')
    expect(b.elector.isAlive).toBe(true)
  })

  it('O3: of a leader that is gone without a word the next one leads in less than 20 s, whatever the phase of the tries', async () => {
    const gone = fc.record({
      startsAfter: fc.integer({ max: 6000, min: 0 }),
      lastsFor: fc.integer({ max: 6000, min: 0 }),
      spread: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 20 }),
      answersIn: fc.integer({ max: 500, min: 0 }),
    })
    let worst = 0
    await fc.assert(
      fc.asyncProperty(gone, async ({ startsAfter, lastsFor, spread, answersIn }) => {
        const server = new FakeLeaseServer()
        const clock = new FakeClock()
        // As main.ts makes it: no time of the election is set.
        const a = startElector(server, 'a', clock)
        await clock.advance(startsAfter)
        let tries = 0
        let leadsAt: number | undefined
        const quick = server.client()
        const client: ElectorOptions['client'] = {
          get: (...args) => clock.sleep(answersIn).then(() => quick.get(...args)) as never,
          create: (...args) => clock.sleep(answersIn).then(() => quick.create(...args)),
          mergePatch: (...args) => clock.sleep(answersIn).then(() => quick.mergePatch(...args)) as never,
        }
        startElector(server, 'b', clock, {
          client,
          random: () => spread[tries++ % spread.length] ?? 0,
          onStartedLeading: () => (leadsAt = clock.monotonic()),
        })
        await clock.advance(lastsFor)
        a.client.link = 'down'
        const renewedAt = Date.parse(server.lease?.spec?.renewTime ?? '') - clock.now() + clock.monotonic()
        await clock.advance(30_000)
        worst = Math.max(worst, (leadsAt ?? Infinity) - renewedAt)
        expect((leadsAt ?? Infinity) - renewedAt).toBeLessThan(20_000)
        // The one that is gone may still believe that it leads: not before its lease has run out.
        expect((leadsAt ?? 0) - renewedAt).toBeGreaterThanOrEqual(15_000)
      }),
      { numRuns: 100, examples: [[{ startsAfter: 0, lastsFor: 1, spread: [0.999], answersIn: 500 }]] },
    )
    // It has met a late look at the last renewal.
    expect(worst).toBeGreaterThan(17_000)
  })

  it('O3: the operator as shipped sets no other times', () => {
    const shipped = ['src/operator/main.ts', 'src/operator/settings.ts', 'charts/keyshift/templates/deployment.yaml']
    for (const file of shipped)
      expect(readFileSync(file, 'utf8')).not.toMatch(/election|leaseDuration|renewDeadline|retryPeriod/i)
  })

  it('gives the lease back when told to stop, and the next one leads within its retry period', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const a = startElector(server, 'a', clock)
    await clock.advance(0)
    const b = startElector(server, 'b', clock)
    await clock.advance(5000)
    a.stop.abort()
    await a.run
    expect(a.said).toEqual(['leading'])
    expect(a.leadership()?.aborted).toBe(true)
    expect(a.elector.status).toBe('dead')
    await clock.advance(2400)
    expect(b.said).toEqual(['leading'])
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1, leaseDurationSeconds: 15 })
  })

  it('stops in peace though the lease cannot be given back', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const a = startElector(server, 'a', clock)
    await clock.advance(0)
    a.client.link = 'down'
    a.stop.abort()
    await a.run
    expect(a.said).toEqual(['leading'])
    expect(a.errors).toHaveLength(1)
  })

  it('never takes a lease when stopped while competing', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    startElector(server, 'a', clock)
    await clock.advance(0)
    const b = startElector(server, 'b', clock)
    await clock.advance(0)
    b.stop.abort()
    await b.run
    expect(b.said).toEqual([])
    expect(server.lease?.spec?.holderIdentity).toBe('a')
  })

  it.each(['down', 'hanging', 'lost'] as const)(
    'loses a lease it cannot renew for ten seconds (link %s), before another one leads',
    async (link) => {
      const server = new FakeLeaseServer()
      const clock = new FakeClock()
      const a = startElector(server, 'a', clock)
      await clock.advance(0)
      const b = startElector(server, 'b', clock)
      await clock.advance(4000)
      a.client.link = link
      await clock.advance(9999)
      expect(a.elector.status).toBe('leading')
      await clock.advance(1)
      expect(a.said).toEqual(['leading', 'lost, leadership over: not renewed for 10000 ms'])
      expect(a.elector).toMatchObject({ status: 'dead', isLeader: false, isAlive: false })
      expect(b.said).toEqual([])
      await clock.advance(10_000)
      expect(b.said).toEqual(['leading'])
    },
  )

  it('keeps leading after a failed renewal when the next one works', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const a = startElector(server, 'a', clock)
    await clock.advance(0)
    for (let i = 0; i < 20; i++) {
      a.client.link = 'down'
      await clock.advance(6000)
      a.client.link = 'up'
      await clock.advance(2000)
    }
    expect(a.said).toEqual(['leading'])
    expect(a.errors.length).toBeGreaterThan(40)
  })

  it('counts its ten seconds from the sending of a renewal, not from a late answer', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const quick = server.client()
    const client: ElectorOptions['client'] = {
      ...quick,
      mergePatch: async (...args) => {
        const answer = await quick.mergePatch(...args)
        await clock.sleep(4000)
        return answer as never
      },
    }
    const a = startElector(server, 'a', clock, { client })
    await clock.advance(6000)
    expect(server.requests).toEqual(['get', 'create', 'patch'])
    quick.link = 'down'
    await clock.advance(5999)
    expect(a.elector.isLeader).toBe(true)
    await clock.advance(1)
    expect(a.elector.isLeader).toBe(false)
  })

  it('reads the lease again when it does not know what became of a renewal', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const a = startElector(server, 'a', clock)
    await clock.advance(0)
    server.requests.length = 0
    a.client.link = 'cut'
    await clock.advance(2000)
    a.client.link = 'up'
    await clock.advance(4000)
    expect(server.requests).toEqual(['patch', 'get', 'patch', 'patch'])
    expect(a.elector.isLeader).toBe(true)
  })

  it('takes a lost race for the lease as an ordinary result, not as an error', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const all = ['a', 'b', 'c'].map((identity) => startElector(server, identity, clock))
    await clock.advance(0)
    expect(server.requests.filter((verb) => verb === 'create')).toHaveLength(3)
    server.edit({ holderIdentity: null })
    await clock.advance(5000)
    expect(all.map(({ errors }) => errors)).toEqual([[], [], []])
    expect(all.filter(({ elector }) => elector.isLeader)).toHaveLength(1)
  })

  it('goes on competing through any outage, and leads afterwards', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const b = startElector(server, 'b', clock)
    b.client.link = 'down'
    await clock.advance(HOUR / 2)
    b.client.link = 'hanging'
    await clock.advance(HOUR / 2)
    expect(b.elector).toMatchObject({ status: 'competing', isAlive: true })
    b.client.link = 'up'
    await clock.advance(12_000)
    expect(b.said).toEqual(['leading'])
  })

  it('does not believe it leads after a sleep of the whole process', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const a = startElector(server, 'a', clock)
    await clock.advance(0)
    clock.freeze(10_000)
    expect(a.elector.isLeader).toBe(false)
    await clock.advance(0)
    expect(a.said.at(-1)).toMatch(/^lost/)
    expect(server.requests.filter((verb) => verb === 'patch')).toEqual([])
  })

  it('is not alive when its loop has stopped moving', async () => {
    const clock = new FakeClock()
    const b = startElector(new FakeLeaseServer(), 'b', clock)
    await clock.advance(0)
    clock.freeze(24_999)
    expect(b.elector.isAlive).toBe(true)
    clock.freeze(1)
    expect(b.elector.isAlive).toBe(false)
  })

  it.each([
    ['an hour behind', -HOUR],
    ['an hour ahead', HOUR],
  ])('takes nothing from a live leader whose clock is %s', async (_, skew) => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const a = startElector(server, 'a', clock)
    await clock.advance(0)
    const skewed = Object.assign(Object.create(clock) as FakeClock, {
      now: () => clock.now() - skew,
      monotonic: () => clock.monotonic(),
      sleep: (ms: number, signal?: AbortSignal) => clock.sleep(ms, signal),
    })
    const b = startElector(server, 'b', skewed)
    await clock.advance(60_000)
    expect([a.said, b.said]).toEqual([['leading'], []])
    a.client.link = 'down'
    await clock.advance(20_000)
    expect(b.said).toEqual(['leading'])
  })

  it('waits as long as the holder promised, not as long as it would promise itself', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const a = startElector(server, 'a', clock, { leaseDurationMs: 60_000 })
    await clock.advance(0)
    const b = startElector(server, 'b', clock)
    await clock.advance(0)
    a.client.link = 'down'
    await clock.advance(59_000)
    expect(b.said).toEqual([])
    await clock.advance(4000)
    expect(b.said).toEqual(['leading'])
  })

  it('loses at once when somebody else holds the lease', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const a = startElector(server, 'a', clock)
    await clock.advance(0)
    server.edit({ holderIdentity: 'thief', leaseDurationSeconds: 15 })
    await clock.advance(4000)
    expect(a.said).toEqual(['leading', 'lost, leadership over: taken over by "thief"'])
  })

  it('keeps leading when the lease was edited, or deleted and is free', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const a = startElector(server, 'a', clock)
    await clock.advance(0)
    server.edit({ ...server.lease?.spec, strategy: 'someone looked' })
    await clock.advance(4000)
    server.lease = undefined
    await clock.advance(6000)
    expect(a.elector.isLeader).toBe(true)
    expect(a.said).toEqual(['leading'])
    expect(server.lease).toMatchObject({ spec: { holderIdentity: 'a' } })
  })

  it('tells who holds the lease whenever that changes', async () => {
    const server = new FakeLeaseServer()
    const clock = new FakeClock()
    const holders: string[] = []
    const a = startElector(server, 'a', clock)
    await clock.advance(0)
    startElector(server, 'b', clock, { onHolder: (identity) => holders.push(identity) })
    await clock.advance(10_000)
    a.stop.abort()
    await clock.advance(10_000)
    expect(holders).toEqual(['a', '', 'b'])
  })

  it('refuses times that would allow two leaders', () => {
    const server = new FakeLeaseServer()
    const make = (more: Partial<ElectorOptions>) => () => startElector(server, 'a', new FakeClock(), more)
    expect(make({ leaseDurationMs: 10_000 })).toThrow(RangeError)
    expect(make({ retryPeriodMs: 10_000 })).toThrow(RangeError)
  })

  it('never makes two identities alike', () => {
    expect(leaderIdentity('pod-1')).toMatch(/^pod-1_.{36}$/)
    expect(leaderIdentity('pod-1')).not.toBe(leaderIdentity('pod-1'))
  })

  it('never lets two lead at the same time, whatever fails when', async () => {
    const link = fc.constantFrom('up' as const, 'up' as const, 'down' as const, 'hanging' as const, 'lost' as const)
    const outage = fc.record({ who: fc.nat({ max: 2 }), link, forMs: fc.integer({ min: 100, max: 20_000 }) })
    await fc.assert(
      fc.asyncProperty(fc.array(outage, { maxLength: 12 }), async (outages) => {
        const server = new FakeLeaseServer()
        const clock = new FakeClock()
        const all = ['a', 'b', 'c'].map((identity) => startElector(server, identity, clock))
        for (const { who, link, forMs } of outages) {
          const client = all[who]?.client
          if (client !== undefined) client.link = link
          for (let ms = 0; ms < forMs; ms += 500) {
            await clock.advance(500)
            expect(all.filter(({ elector }) => elector.isLeader).length).toBeLessThanOrEqual(1)
          }
        }
        // with the links back, whoever is not dead must lead again
        for (const { client } of all) client.link = 'up'
        await clock.advance(40_000)
        const living = all.filter(({ elector }) => elector.status !== 'dead')
        expect(living.filter(({ elector }) => elector.isLeader)).toHaveLength(Math.min(1, living.length))
      }),
      { numRuns: 60 },
    )
  })
})
