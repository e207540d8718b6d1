/* global AbortController */
import { randomUUID } from 'node:crypto'

/** Takes jobs from the queue: read, mark as running, work, mark as done, acknowledge. At least once, so each step may repeat. */
export function startWorker(client, { queue: key, concurrency, leaseMs }, log) {
  const ending = new AbortController()
  const queue = client.queue(key)
  const loops = Array.from({ length: concurrency }, () => loop())

  async function loop() {
    let pause = 0
    while (!ending.signal.aborted) {
      try {
        const delivery = await queue.dequeue({ waitMs: 2000, leaseMs, signal: ending.signal })
        pause = 0
        if (delivery !== undefined) await work(delivery)
      } catch (error) {
        if (ending.signal.aborted) return
        log('error', `worker: ${error.message}`, { code: error.code })
        // Redis is away, or the lease was lost: the entry comes back by itself.
        pause = Math.min(pause === 0 ? 100 : pause * 2, 5000)
        await new Promise((resolve) => setTimeout(resolve, pause))
      }
    }
  }

  async function work(delivery) {
    const job = await delivery.read()
    // Deleted meanwhile, or done by a delivery whose acknowledgement was lost.
    if (job === undefined || delivery.workspaceId === undefined || job.value.status === 'done') return delivery.ack()
    const store = client.forWorkspace(delivery.workspaceId)
    await setStatus(store, delivery.jobId, 'queued', 'running')
    await setStatus(store, delivery.jobId, 'running', 'done')
    await delivery.ack()
  }

  // Only forward: a second delivery of the same job must not set a finished one back.
  async function setStatus(store, jobId, from, to) {
    try {
      await store.update(jobId, { status: to }, { expect: { status: from }, operationId: randomUUID() })
    } catch (error) {
      if (error.code !== 'CONFLICT') throw error
    }
  }

  return {
    async stop() {
      ending.abort()
      await Promise.all(loops)
    },
  }
}
