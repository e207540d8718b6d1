import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** Counters of a worker process. No label names a run: a Job's name would be a new series each time. */
export interface WorkerMetrics {
  readonly keys: Counter<'kind'>
  readonly batchSeconds: Histogram<'kind'>
  readonly batchKeys: Gauge<'kind'>
  readonly retries: Counter<'kind'>
  readonly done: Gauge<'kind'>
  readonly total: Gauge<'kind'>
}

export function createWorkerMetrics(registry: Registry): WorkerMetrics {
  const labelNames = ['kind'] as const
  const registers = [registry]
  return {
    keys: new Counter({ name: 'keyshift_worker_keys_total', help: 'Keys looked at.', labelNames, registers }),
    batchSeconds: new Histogram({
      name: 'keyshift_worker_batch_seconds',
      help: 'Time that one batch held Redis.',
      labelNames,
      registers,
      buckets: [0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.015, 0.03, 0.1, 1],
    }),
    batchKeys: new Gauge({
      name: 'keyshift_worker_batch_size',
      help: 'COUNT of the next batch.',
      labelNames,
      registers,
    }),
    retries: new Counter({
      name: 'keyshift_worker_retries_total',
      help: 'Batches tried again.',
      labelNames,
      registers,
    }),
    done: new Gauge({
      name: 'keyshift_worker_pass_keys_done',
      help: 'Keys handled in this pass.',
      labelNames,
      registers,
    }),
    total: new Gauge({
      name: 'keyshift_worker_pass_keys_estimate',
      help: 'Estimate of the keys of this pass.',
      labelNames,
      registers,
    }),
  }
}
