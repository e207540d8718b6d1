/** The program of a worker pod: carries out one KEYSHIFT_WORK and ends with 0 (done) or 1 (failed). */
import { join } from 'node:path'
import { CONNECTION_NAME } from '../protocol/control-keys.ts'
import { SECRETS } from '../protocol/work.ts'
import { Connection } from '../redis/connection.ts'
import { createLog } from '../platform/logger.ts'
import { createRegistry } from '../platform/metrics.ts'
import { startProbeServer } from '../platform/http.ts'
import { createProcessEnd } from '../platform/process-end.ts'
import { describe } from '../platform/safe-json.ts'
import { systemClock } from '../runtime/clock.ts'
import { DEFAULT_WORKER_LIMITS, Stopped, WorkRefused, type WorkerContext } from './context.ts'
import { readCredentials, readTls } from './credentials.ts'
import { createWorkerMetrics } from './metrics.ts'
import { connect } from './connect.ts'
import { runWork } from './run.ts'
import { readWorkerSettings, type WorkerSettings } from './settings.ts'
import { failWork } from './work-hash.ts'
import { parseWork } from './work-spec.ts'

/** As a shell reports a program that SIGTERM ended: not 0, or the Job would count as complete. */
const EXIT_STOPPED = 143
const FAIL_NOTE_MS = 5_000

const env = process.env
const log = createLog({ level: 'info', stream: process.stdout, now: Date.now })
const end = createProcessEnd({
  log,
  terminationLog: env['KEYSHIFT_TERMINATION_LOG'] ?? '/dev/termination-log',
  exit: (code) => process.exit(code),
  on: (event, listener) => process.on(event, listener),
})
end.guard()
await main()

async function main(): Promise<void> {
  try {
    await work(readWorkerSettings(env))
    await end.leave(0, 'done')
  } catch (error) {
    if (error instanceof Stopped) {
      log.logger.info(error.message)
      return end.leave(EXIT_STOPPED, error.message)
    }
    log.logger.error('failed', { error })
    return end.leave(1, describe(error))
  }
}

async function work(settings: WorkerSettings): Promise<void> {
  log.setLevel(settings.logLevel)
  const work = parseWork(settings.work)
  const { spec } = work
  const logger = log.logger.child({ job: spec.jobName, kind: spec.kind })
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort())

  const registry = createRegistry()
  const credentialsIn = (folder: string) =>
    readCredentials(join(settings.secretsDir, folder), (secret) => log.addSecret(secret))
  const redis = new Connection({
    address: work.address,
    name: CONNECTION_NAME.worker(spec.jobName),
    credentials: () => credentialsIn(SECRETS.redis),
    sentinelCredentials: () => credentialsIn(SECRETS.sentinel),
    tls: spec.tls && (() => readTls(settings.secretsDir, spec.tls ?? {})),
  })
  const context: WorkerContext = {
    work,
    redis,
    clock: systemClock,
    logger,
    metrics: createWorkerMetrics(registry),
    signal: stop.signal,
    limits: DEFAULT_WORKER_LIMITS,
  }
  const server =
    settings.metricsPort === undefined
      ? undefined
      : await startProbeServer({
          port: settings.metricsPort,
          registry,
          healthy: () => undefined,
          ready: () => (redis.state === 'ready' ? undefined : 'not connected to Redis'),
        })
  try {
    await connect(context)
    logger.info('started')
    await runWork(context)
    logger.info('done')
  } catch (error) {
    if (!(error instanceof Stopped)) await noteFailure(context, error)
    throw error
  } finally {
    await redis.close()
    await server?.close()
  }
}

// Best effort: the exit code and the termination message say it too.
async function noteFailure(context: WorkerContext, error: unknown): Promise<void> {
  try {
    const limits = { ...context.limits, callMs: FAIL_NOTE_MS }
    await failWork({ ...context, limits }, error instanceof WorkRefused ? 'refused' : 'failed', describe(error))
  } catch (again) {
    context.logger.warn('the failure could not be noted in Redis', { error: describe(again) })
  }
}
