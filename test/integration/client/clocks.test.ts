import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { LeaseRecord, MemberRecord } from '../../../src/protocol/control-keys.ts'
import { until } from '../redis/support/redis.ts'
import { ClientProcess } from './support/process.ts'
import { documentOf, KEYS } from './support/routing.ts'
import { World } from './support/world.ts'

/** The clocks of pods are an hour apart, or that of Redis jumps: TIME of Redis alone says when something ends. */
jest.setTimeout(60_000)
const HOUR = 3_600_000
const QUEUE = 'ai:queue'
let world: World
beforeAll(async () => {
  world = await World.start()
})
afterAll(() => world.stop())
beforeEach(() => world.redis.raw.flushall())
afterEach(async () => {
  jest.useRealTimers()
  await world.closeClients()
})

const now = async (): Promise<number> => {
  const [seconds, micros] = (await world.redis.raw.time()) as unknown as [number | string, number | string]
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000)
}
const lease = async (memberId: string): Promise<LeaseRecord | undefined> => {
  const text = await world.redis.raw.get(KEYS.lease(memberId))
  return text === null ? undefined : (JSON.parse(text) as LeaseRecord)
}

test('processes an hour before and behind join, renew, follow, drain and leave as any other', async () => {
  world.dir.publish(documentOf(1, 'Legacy'))
  const processes = [-HOUR, HOUR].map(
    (clockShiftMs) => new ClientProcess({ redis: world.redis.address, dir: world.dir.path, clockShiftMs }),
  )
  try {
    for (const epoch of [1, 2, 3]) {
      if (epoch > 1) await world.settle(documentOf(epoch, 'DualWrite', 100))
      for (const one of processes) {
        await until(
          `epoch ${epoch}`,
          async () => {
            const { memberId = '' } = one.state ?? {}
            return (await lease(memberId))?.epoch === epoch
          },
          30_000,
        )
        const { memberId = '' } = one.state ?? {}
        const left = await world.redis.raw.pttl(KEYS.lease(memberId))
        expect(left).toBeGreaterThan(0)
        expect(left).toBeLessThanOrEqual(15_000)
        const record = JSON.parse((await world.redis.raw.hget(KEYS.members, memberId)) ?? '') as MemberRecord
        expect(Math.abs(record.registeredAt - (await now()))).toBeLessThan(HOUR / 2)
      }
    }
    for (const one of processes) {
      const { memberId = '' } = one.state ?? {}
      one.tell('close')
      expect(await one.ended).toBe(0)
      expect(await lease(memberId)).toBeUndefined()
    }
  } finally {
    for (const one of processes) await one.kill()
  }
})

describe('two clients an hour apart', () => {
  const REAL = [
    'hrtime',
    'nextTick',
    'performance',
    'queueMicrotask',
    'setImmediate',
    'clearImmediate',
    'setInterval',
    'clearInterval',
    'setTimeout',
    'clearTimeout',
  ] as const
  /** What is done meanwhile sees a clock that is off by so much. */
  async function off<T>(ms: number, act: () => Promise<T>): Promise<T> {
    const real = jest.getRealSystemTime()
    jest.useFakeTimers({ now: real + ms, doNotFake: [...REAL] })
    try {
      return await act()
    } finally {
      jest.useRealTimers()
    }
  }
  const stores = async () => {
    await world.settle(documentOf(5, 'BackfillVerify'))
    const [one, other] = [world.client('hash'), world.client('hash')]
    await Promise.all([one.ready(), other.ready()])
    return { one, other, before: one.forWorkspace('w1'), behind: other.forWorkspace('w1') }
  }

  test('agree on when a job ends, on both of its keys', async () => {
    const { before, behind } = await stores()
    for (const [shift, store, reader] of [
      [HOUR, before, behind],
      [-HOUR, behind, before],
    ] as const) {
      const job = `j${shift}`
      await off(shift, () => store.create(job, {}, { ttlMs: 600_000 }))
      const ends = (await off(-shift, () => reader.get(job)))?.expiresAt ?? 0
      expect(Math.abs(ends - (await now()) - 600_000)).toBeLessThan(120_000)
      await off(-shift, () => reader.expire(job, { ttlMs: 1_200_000 }))
      const { legacy, target } = await world.pair('w1', job)
      expect(target).toEqual(legacy)
      expect(Math.abs((legacy?.expiresAt ?? 0) - (await now()) - 1_200_000)).toBeLessThan(120_000)
    }
  })

  test('agree on what is past: what lies there for Redis', async () => {
    const { before, behind } = await stores()
    const [past, future] = [(await now()) - 1000, (await now()) + HOUR / 2]
    await expect(off(-HOUR, () => behind.create('j1', {}, { expiresAt: past }))).rejects.toThrow(/in the past/)
    await off(HOUR, () => before.create('j1', {}, { expiresAt: future }))
    expect((await off(HOUR, () => before.get('j1')))?.expiresAt).toBe(future)
  })

  test('agree on who holds an entry, and for how long', async () => {
    const { one, other, before } = await stores()
    await before.enqueue('j1', {}, { queue: QUEUE })
    const held = await off(HOUR, () => one.queue(QUEUE).dequeue({ leaseMs: 600_000 }))
    expect(Math.abs((held?.leaseEnd ?? 0) - (await now()) - 600_000)).toBeLessThan(120_000)
    for (const shift of [HOUR, -HOUR]) expect(await off(shift, () => other.queue(QUEUE).reap())).toBe(0)
    await off(-HOUR, async () => held?.extend(1))
    await until('its lease has ended', async () => (await now()) > (held?.leaseEnd ?? Infinity))
    expect(await off(-HOUR, () => other.queue(QUEUE).reap())).toBe(1)
    await expect(off(HOUR, async () => held?.ack())).rejects.toMatchObject({ code: 'LEASE_LOST' })
  })

  test('keep their deadlines while their clocks jump', async () => {
    const { before } = await stores()
    await world.redis.raw.set(KEYS.fence, '6')
    for (const shift of [HOUR, -HOUR]) {
      const reading = before.get('j1', { deadlineMs: 200 })
      await expect(off(shift, () => reading)).rejects.toMatchObject({ code: 'STALE_EPOCH' })
    }
  })
})

describe('when the clock of Redis jumps by an hour', () => {
  // To Redis every end that it holds then lies an hour nearer or further off: these are moved in the place of the clock.
  const jump = async (ms: number): Promise<void> => {
    const { raw } = world.redis
    for (const key of await raw.keys(`${KEYS.lease('')}*`)) {
      const left = (await raw.pttl(key)) - ms
      if (left > 0) await raw.pexpire(key, left)
      else await raw.del(key)
    }
    for (const entry of await raw.zrange(KEYS.leases(QUEUE), '0', '-1'))
      await raw.call('ZINCRBY', KEYS.leases(QUEUE), String(-ms), entry)
  }
  const held = async () => {
    await world.settle(documentOf(5, 'BackfillVerify'))
    const client = world.client('hash')
    await client.forWorkspace('w1').enqueue('j1', {}, { queue: QUEUE })
    return { client, delivery: await client.queue(QUEUE).dequeue() }
  }

  test('forward, an entry is delivered again, its first holder is told, and a lapsed member works on and is back', async () => {
    const { client, delivery } = await held()
    await jump(HOUR)
    expect(await lease(client.state().memberId)).toBeUndefined()
    await client.forWorkspace('w1').create('j2', {})
    const again = await client.queue(QUEUE).dequeue()
    expect(again?.jobId).toBe('j1')
    await expect(delivery?.ack()).rejects.toMatchObject({ code: 'LEASE_LOST' })
    await again?.ack()
    world.dir.publish(documentOf(6, 'BackfillVerify'))
    await until('it is back', async () => (await lease(client.state().memberId))?.epoch === 6)
  })

  test('back, nothing is delivered twice, and a lease is short again once renewed', async () => {
    const { client } = await held()
    await jump(-HOUR)
    expect(await client.queue(QUEUE).reap()).toBe(0)
    expect(await client.queue(QUEUE).dequeue()).toBeUndefined()
    world.dir.publish(documentOf(6, 'BackfillVerify'))
    await until(
      'it was renewed',
      async () => (await world.redis.raw.pttl(KEYS.lease(client.state().memberId))) <= 15_000,
    )
  })
})
