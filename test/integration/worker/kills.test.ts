import { jest } from '@jest/globals'
import { connect, createServer, type AddressInfo } from 'node:net'
import type { PreflightResult, VerifyResult, WorkKind, WorkResult, WorkSpec } from '../../../src/protocol/work.ts'
import type { Phase } from '../../../src/protocol/phases.ts'
import { SCRIPTS, type ScriptName } from '../../../src/redis/scripts.generated.ts'
import { control, until, World } from './world.ts'

jest.setTimeout(120_000)

let world: World
beforeAll(async () => {
  world = await World.start()
}, 30_000)
afterAll(() => world.stop())

const JOBS = 150
const NEVER = 4_000_000_000_000
const SHAS = (Object.keys(SCRIPTS) as ScriptName[])
  .filter((name) => /^worker-(.*-batch|finish)$/.test(name))
  .map((name) => SCRIPTS[name].sha1)

interface Case {
  readonly kind: WorkKind
  readonly phase: Phase
  /** What there is before, the same each time. */
  readonly plant: () => Promise<unknown>
}

async function load(): Promise<void> {
  const pipeline = world.redis.pipeline()
  for (let i = 0; i < JOBS; i += 1) {
    pipeline.hset(`ai:job:j${i}`, { workspace_id: `w${i % 20}`, n: String(i) })
    if (i % 3 === 0) pipeline.pexpireat(`ai:job:j${i}`, NEVER + i)
  }
  await pipeline.exec()
}
async function both(): Promise<void> {
  await load()
  const pipeline = world.redis.pipeline()
  for (let i = 0; i < JOBS; i += 1) pipeline.copy(`ai:job:j${i}`, `ai:job:w${i % 20}:j${i}`)
  await pipeline.exec()
}
async function damaged(): Promise<void> {
  await both()
  for (let i = 0; i < 90; i += 1) {
    if (i % 3 === 0) await world.redis.del(`ai:job:w${i % 20}:j${i}`)
    if (i % 3 === 1) await world.redis.hset(`ai:job:w${i % 20}:j${i}`, 'n', 'x')
    if (i % 3 === 2) await world.redis.del(`ai:job:j${i}`)
  }
}

const CASES: readonly Case[] = [
  { kind: 'preflight', phase: 'Legacy', plant: both },
  { kind: 'backfill', phase: 'BackfillVerify', plant: load },
  { kind: 'verify', phase: 'BackfillVerify', plant: damaged },
  { kind: 'repair', phase: 'BackfillVerify', plant: damaged },
  { kind: 'purge', phase: 'Legacy', plant: both },
]

/** A proxy that calls `strike` at the n-th worker script: `before` it reaches Redis, or `after`, its answer held back. */
async function striking(moment: 'before' | 'after', nth: number, strike: () => void) {
  let scripts = 0
  const server = createServer((client) => {
    const upstream = connect(world.server.port, '127.0.0.1')
    let struck = false
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
    }
    client.on('close', () => upstream.destroy())
    client.on('data', (chunk) => {
      if (SHAS.some((sha) => chunk.includes(sha))) scripts += 1
      struck ||= scripts >= nth
      if (struck && moment === 'before') return strike()
      upstream.write(chunk)
    })
    upstream.on('data', (chunk) => {
      if (struck) strike()
      else client.write(chunk)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() }
}

/** Counts the batches that Redis carries out, and those among them that were carried out before in the same pass. */
async function watchBatches() {
  const monitor = await world.redis.duplicate().monitor()
  const cursors: string[] = []
  let heard = ''
  monitor.on('monitor', (_at: string, [command = '', first = '']: string[], source: string) => {
    if (source === 'lua' && command.toLowerCase() === 'scan') cursors.push(first)
    if (command.toLowerCase() === 'echo') heard = first
  })
  return async () => {
    const mark = `end of ${cursors.length}`
    await world.redis.echo(mark)
    await until('the monitor', () => Promise.resolve(heard === mark))
    monitor.disconnect()
    const passes: string[][] = []
    for (const cursor of cursors) {
      if (cursor === '0') passes.push([])
      passes.at(-1)?.push(cursor)
    }
    const again = passes.reduce((sum, pass) => sum + pass.length - new Set(pass).size, 0)
    return { batches: cursors.length, passes: passes.length, again }
  }
}

const stripped = (snapshot: Record<string, string>) =>
  Object.fromEntries(Object.entries(snapshot).filter(([key]) => !key.includes(':kept:')))
/** Counts that do not depend on how often SCAN gives a key while the table grows. */
const counted = (result: WorkResult): object => (result.kind === 'backfill' ? { copied: result.copied } : result)
const spec = (kind: WorkKind, over: Partial<WorkSpec> = {}) =>
  world.spec(kind, { maxKeysPerSecond: 1000, allowTarget: true, ...over })

describe.each(CASES)('$kind', ({ kind, phase, plant }) => {
  let expected: { readonly result: object; readonly keys: Record<string, string>; readonly passes: number }
  beforeAll(async () => {
    await world.reset(phase)
    await plant()
    const count = await watchBatches()
    const result = counted(await world.run(spec(kind)))
    const { passes, again } = await count()
    expect({ passes: String(passes), again }).toEqual({ passes: (await world.fields(`${kind}-1`)).pass, again: 0 })
    expected = { result, keys: await world.snapshot(), passes }
  })
  beforeEach(async () => {
    await world.reset(phase)
    await plant()
  })
  const result = async () => counted(JSON.parse((await world.fields(`${kind}-1`)).result ?? 'null') as WorkResult)
  const sameEnd = async () => {
    expect(await result()).toEqual(expected.result)
    expect(stripped(await world.snapshot())).toEqual(stripped(expected.keys))
  }

  // Each life carries out two scripts: at the end of the work one finds that it has ended, the other writes the result.
  test.each([
    ['before its third script reaches Redis', 'before', 3],
    ['before it hears of its second script', 'after', 2],
  ] as const)('killed each time %s, it comes to the same end, and never goes back', async (_, moment, nth) => {
    const count = await watchBatches()
    let at = { pass: 1, done: 0 }
    let lives = 0
    for (let code: number | null = null; code !== 0; lives += 1) {
      if (lives > 30) throw new Error('does not come to its end')
      let kill = (): void => undefined
      const proxy = await striking(moment, nth, () => kill())
      const worker = world.spawn(spec(kind, { redis: `redis://127.0.0.1:${proxy.port}/0` }))
      kill = () => void worker.child.kill('SIGKILL')
      ;({ code } = await worker.ended)
      proxy.close()
      const fields = await world.fields(`${kind}-1`)
      const now = { pass: Number(fields.pass), done: Number(fields.done) }
      expect(now.pass > at.pass || (now.pass === at.pass && now.done >= at.done)).toBe(true)
      at = now
    }
    expect(lives).toBeGreaterThan(2)
    // A batch and its checkpoint are one script: not even the one in flight is done twice.
    expect(await count()).toMatchObject({ passes: expected.passes, again: 0 })
    await sameEnd()
  })

  test('four at once share the batches and come to the same end', async () => {
    const count = await watchBatches()
    await Promise.all(Array.from({ length: 4 }, () => world.run(spec(kind))))
    expect(await count()).toMatchObject({ passes: expected.passes, again: 0 })
    await sameEnd()
  })

  test('one that is stopped, and goes on when another has done the work and the phase has changed, changes nothing', async () => {
    const slow = world.spawn(spec(kind, { maxKeysPerSecond: 100 }))
    await until('a checkpoint', async () => Number((await world.fields(`${kind}-1`)).done) > 0)
    slow.child.kill('SIGSTOP')
    await world.run(spec(kind))
    await sameEnd()
    await world.record(phase === 'Legacy' ? 'DualWrite' : 'Legacy', 9, 8)
    slow.child.kill('SIGCONT')
    // Either it hears that the work is done, or that it is not allowed any more.
    expect([0, 1]).toContain((await slow.ended).code)
    await sameEnd()
    expect((await world.fields(`${kind}-1`)).state).toBe('done')
  })
})

test('what verify found before it was killed is in its result', async () => {
  await world.reset('BackfillVerify')
  await damaged()
  const { missing, different, orphan } = await world.run<VerifyResult>(spec('verify'))
  expect([missing, different, orphan]).toEqual([30, 30, 30])
  await world.reset('Legacy')
  await both()
  expect(await world.run<PreflightResult>(spec('preflight'))).toMatchObject({ legacy: JOBS, target: JOBS })
  expect(await world.redis.exists(control.work('preflight-1'))).toBe(1)
})
