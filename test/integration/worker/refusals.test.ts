import { jest } from '@jest/globals'
import { Registry } from 'prom-client'
import type { RepairResult, VerifyResult, WorkSpec } from '../../../src/protocol/work.ts'
import { parseTemplates } from '../../../src/protocol/templates.ts'
import { aclRules, workerRights } from '../../../src/redis/rights.ts'
import { WorkRefused } from '../../../src/worker/context.ts'
import { TROUBLE_ARGS, troublesOf, type Trouble } from '../redis/support/troubles.ts'
import { control, LEGACY, TARGET, until, World, type RunOptions } from './world.ts'

jest.setTimeout(60_000)

const JOBS = 60
const DAMAGED = 12
const KINDS = ['backfill', 'verify', 'repair', 'purge'] as const
type Kind = (typeof KINDS)[number]
const CODES: readonly Trouble['code'][] = ['OOM', 'NOREPLICAS', 'READONLY', 'MISCONF', 'LOADING', 'BUSY']
let world: World
let troubles: readonly Trouble[]
beforeAll(async () => {
  world = await World.start(TROUBLE_ARGS)
  troubles = troublesOf(world.redis)
}, 30_000)
afterAll(() => world.stop())

const targetOf = (i: number) => `ai:job:w${i % 20}:j${i}`
const specOf = (kind: Kind, more: Partial<WorkSpec> = {}) => world.spec(kind, { maxKeysPerSecond: 1000, ...more })

/** Jobs as the kind of work finds them, and what it leaves of them. */
async function prepare(kind: Kind): Promise<{ before: Record<string, string>; after: Record<string, string> }> {
  await world.reset(kind === 'purge' ? 'Legacy' : 'BackfillVerify')
  await world.loadHashes(JOBS)
  const legacy = await world.snapshot()
  for (let i = 0; i < JOBS; i += 1) await world.redis.copy(`ai:job:j${i}`, targetOf(i))
  const whole = await world.snapshot()
  if (kind === 'repair') for (let i = 0; i < DAMAGED; i += 1) await world.redis.hset(targetOf(i), 'n', 'damaged')
  if (kind === 'backfill') for (let i = 0; i < JOBS; i += 1) await world.redis.del(targetOf(i))
  return { before: await world.snapshot(), after: kind === 'purge' ? legacy : whole }
}

/** Every key is as it was or as it shall be, expiry included, and what was kept of one does not stay for ever. */
async function expectNothingHalf({ before, after }: Awaited<ReturnType<typeof prepare>>): Promise<void> {
  const now = await world.snapshot()
  for (const key of new Set([...Object.keys(before), ...Object.keys(after), ...Object.keys(now)]))
    if (now[key] !== before[key]) expect([key, now[key]]).toEqual([key, after[key]])
  for (const key of await world.keys(`${control.kept}*`)) expect(await world.redis.pexpiretime(key)).toBeGreaterThan(0)
}

describe.each(KINDS)('D4 %s in the middle of which Redis refuses', (kind) => {
  // What adds nothing goes on over maxmemory.
  const codes = CODES.filter((code) => code !== 'OOM' || kind === 'backfill' || kind === 'repair')

  it.each(codes)('%s waits, nothing is half done, and it goes on by itself', async (code) => {
    const trouble = troubles.find((one) => one.code === code) as Trouble
    const data = await prepare(kind)
    const warned: string[] = []
    let begun = false
    const running = world.run<VerifyResult | RepairResult>(specOf(kind), {
      registry: new Registry(),
      warned,
      after: async (name) => {
        if (begun || name !== `worker-${kind}-batch`) return
        begun = true
        await trouble.begin()
      },
    })
    running.catch(() => undefined)
    const said = code === 'OOM' && kind === 'backfill' ? /OOM|above the watermark/ : new RegExp(code)
    try {
      await until(code, () => Promise.resolve(warned.some((line) => said.test(line))))
      if (!trouble.blind) await expectNothingHalf(data)
    } finally {
      await trouble.end()
    }
    const result = await running
    expect(await world.snapshot()).toEqual(data.after)
    if (result.kind === 'verify') expect(result).toMatchObject({ missing: 0, different: 0, orphan: 0 })
    if (result.kind === 'repair') expect(await world.keys(`${control.kept}*`)).toHaveLength(DAMAGED)
  })
})

describe.each(['backfill', 'repair', 'purge'] as const)('D4 %s whose user loses a right in the middle', (kind) => {
  const rights = aclRules(
    workerRights({ templates: parseTemplates(LEGACY, TARGET), workspaceField: 'workspace_id', queues: [] }),
  )
  const asWorker: RunOptions = { credentials: () => Promise.resolve({ username: 'worker', password: 'secret' }) }
  const grant = (less: string) =>
    world.redis.call('ACL', 'SETUSER', 'worker', 'reset', 'on', '>secret', ...rights.filter((one) => one !== less))
  const ends: unknown[] = []
  // The last one begins the work: nothing of it is run.
  const taken = rights.filter((one) => one.startsWith('+') && one !== '+info')

  it.each(taken)(
    '%s ends as refused, or does without it; nothing is half done, and the next run ends it',
    async (right) => {
      const data = await prepare(kind)
      await grant('')
      const spec = specOf(kind)
      const running = world.run(spec, {
        ...asWorker,
        after: async (name) => void (name === `worker-${kind}-batch` && (await grant(right))),
      })
      const error = await running.then(
        () => undefined,
        (refused: unknown) => refused,
      )
      if (error !== undefined) expect(error).toBeInstanceOf(WorkRefused)
      ends.push(error)
      await expectNothingHalf(data)
      await grant('')
      await world.run(spec, asWorker)
      expect(await world.snapshot()).toEqual(data.after)
    },
  )

  it('most of them are needed in the middle', () => {
    expect(ends.filter((one) => one !== undefined).length).toBeGreaterThan(5)
  })
})
