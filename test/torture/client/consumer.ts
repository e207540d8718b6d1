import {
  LeaseLost,
  NotReady,
  Refused,
  StaleEpoch,
  UnknownOutcome,
  type Delivery,
  type Queue,
} from '../../../src/client/index.ts'
import type { Encoding } from '../jobs.ts'
import { say } from './log.ts'
import type { Recorder } from './recorder.ts'
import { jobText } from './session.ts'

const LEASE_MS = 1500

/** Takes entries from a queue, reads their jobs, and acknowledges most of them; some go back, some are held until their lease ends. */
export async function consume<E extends Encoding>(
  queue: Queue<E>,
  recorder: Recorder,
  random: () => number,
): Promise<void> {
  const fate = random()
  const delivery = await passing(queue.dequeue({ waitMs: 20, leaseMs: LEASE_MS, deadlineMs: 2000 }))
  if (delivery === undefined) return
  const { jobId, workspaceId } = delivery as Delivery<Encoding>
  say(['delivered', jobId, workspaceId ?? null])
  if (workspaceId !== undefined)
    await recorder.run(jobId, { kind: 'get', workspace: workspaceId }, async () =>
      jobText(await delivery.read({ deadlineMs: 2000 })),
    )
  if (fate < 0.1) return
  if (fate < 0.2) return void (await passing(delivery.nack({ deadlineMs: 2000 })))
  say(['ack', jobId])
  if ((await passing(delivery.ack({ deadlineMs: 2000 }).then(() => true))) === true) say(['acked', jobId])
}

/** undefined where it failed as calls may fail. */
async function passing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    const known = [UnknownOutcome, NotReady, Refused, StaleEpoch, LeaseLost].some((kind) => error instanceof kind)
    if (!known) say(['wrong', `queue: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`])
    return undefined
  }
}
