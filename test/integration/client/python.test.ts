import { afterAll, beforeAll, expect, jest, test } from '@jest/globals'
import { Redis } from 'ioredis'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PYTHON } from '../../../hack/local/python.ts'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import { startChild } from '../../../hack/system/child.ts'
import { tryRun } from '../../../hack/system/run.ts'
import { until } from '../../../hack/system/wait.ts'
import { documentOf, KEYS, MountedDir } from './support/routing.ts'

jest.setTimeout(120_000)

const ROOT = join(import.meta.dirname, '../../..')
const APP = join(ROOT, 'examples/python-app')
const VECTORS = JSON.parse(readFileSync(join(ROOT, 'docs/protocol-vectors.json'), 'utf8')) as Record<string, unknown>

const dir = join(tmpdir(), `keyshift-python-${process.pid}`)
let redis: LocalRedis
beforeAll(async () => {
  redis = await startRedis({ dir })
})
afterAll(async () => {
  await redis.stop()
  rmSync(dir, { recursive: true, force: true })
})

const python = (script: string, args: readonly string[]) =>
  tryRun(PYTHON, ['-B', '-W', 'error::RuntimeWarning', join(APP, script), ...args], { limitMs: 100_000 })

test('a client in Python, written from the page alone, passes every vector', async () => {
  const { code, stdout, stderr } = await python('check_vectors.py', ['127.0.0.1', String(redis.port)])
  expect({ code, stderr: stderr.slice(-8000) }).toEqual({ code: 0, stderr: '' })
  const lists = Object.entries(VECTORS).flatMap(([name, list]) => (Array.isArray(list) ? [[name, list.length]] : []))
  expect((JSON.parse(stdout) as { lists: unknown }).lists).toEqual(Object.fromEntries(lists))
})

interface Line {
  readonly event: 'started' | 'done' | 'unknown' | 'failed' | 'closed'
  readonly epoch: number
  readonly member?: string
  readonly workspace?: string
  readonly job?: string
}

const scriptCalls = async (db: Redis): Promise<number> =>
  Number(/cmdstat_evalsha:calls=(\d+)/.exec(await db.info('commandstats'))?.[1])

test('its app follows the routing from unmanaged on, waits for a late document, and gives up its lease', async () => {
  const db = new Redis(redis.port)
  const routing = new MountedDir()
  const logFile = join(dir, 'app.log')
  await db.flushall()
  const app = startChild({
    name: 'the app',
    command: PYTHON,
    args: ['-B', join(APP, 'main.py')],
    env: { ...process.env, REDIS_PORT: String(redis.port), KEYSHIFT_ROUTING: routing.path, POD_UID: 'u-1' },
    logFile,
    diesWithParent: true,
  })
  const lines = (): Line[] => {
    const text = existsSync(logFile) ? readFileSync(logFile, 'utf8') : ''
    return text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as Line) // prettier-ignore
  }
  const limits = { limitMs: 20_000, everyMs: 50, look: logFile, hopeless: app.lost }
  const done = (epoch: number) =>
    until(`a job under epoch ${epoch}`, () => lines().findLast((l) => l.event === 'done' && l.epoch === epoch), limits)
  try {
    const early = await done(0)
    expect(await db.exists(`ai:job:${early.job}`, `ai:job:${early.workspace}:${early.job}`)).toBe(1)
    const member = lines()[0]?.member as string
    expect(JSON.parse((await db.hget(KEYS.members, member)) ?? '')).toMatchObject({ podUid: 'u-1' })
    const told = (epoch: number) =>
      until(
        `a lease that tells ${epoch}`,
        async () => (JSON.parse((await db.get(KEYS.lease(member))) ?? '{}') as { epoch?: number }).epoch === epoch,
        limits,
      )

    await db.set(KEYS.fence, 1)
    routing.publish(documentOf(2, 'DualWrite', 100))
    await told(2)
    const late = await done(2)
    expect(await db.exists(`ai:job:${late.job}`, `ai:job:${late.workspace}:${late.job}`)).toBe(2)

    const before = await scriptCalls(db)
    await db.set(KEYS.fence, 3)
    await until('tries that the fence refuses', async () => (await scriptCalls(db)) > before + 2, limits)
    routing.publish(documentOf(3, 'ReadRouting', 50))
    await told(3)
    await done(3)
    await app.stop()
    expect(lines().filter(({ event }) => event !== 'done').map(({ event }) => event)).toEqual(['started', 'closed']) // prettier-ignore
    expect([await db.exists(KEYS.lease(member)), await db.hexists(KEYS.members, member)]).toEqual([0, 1])
  } finally {
    await app.stop()
    routing.remove()
    db.disconnect()
  }
})
