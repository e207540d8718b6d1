import { sleep } from '../hack/system/wait.ts'
import { legacyKey } from './jobs.ts'
import { presence, type Ledger } from './ledger.ts'
import type { RedisConnection } from './resp.ts'
import { redisNow, type Report } from './seed.ts'

const LIMIT_MS = 60_000

/** Waits until the worker has brought every queued job that is still there to its end. */
export async function settle(redis: RedisConnection, ledger: Ledger, report: Report): Promise<void> {
  const queued = [...ledger.all()].filter((entry) => entry.queued)
  const end = Date.now() + LIMIT_MS
  for (;;) {
    const now = await redisNow(redis)
    const mine = queued.filter((entry) => presence(entry, now, now) !== 'gone')
    const statuses = await redis.pipeline(mine.map((entry) => ['HGET', legacyKey(entry.id), 'status']))
    const open = statuses.filter((status) => status !== null && String(status) !== 'done').length
    report(mine.length - open, mine.length)
    // What is not done by then is a finding of the check, not of this wait.
    if (open === 0 || Date.now() > end) return
    await sleep(500)
  }
}
