import { decide } from '../decision/decide.ts'
import { createKubeClient } from '../kube/client.ts'
import { connect } from '../kube/connection.ts'
import { leaderIdentity } from '../kube/lease.ts'
import { startProbeServer } from '../platform/http.ts'
import { createLog } from '../platform/logger.ts'
import { createRegistry } from '../platform/metrics.ts'
import { createProcessEnd } from '../platform/process-end.ts'
import { SettingsError } from '../platform/settings.ts'
import { systemClock } from '../runtime/clock.ts'
import { watchShutdown } from '../runtime/shutdown.ts'
import { ClockSkew } from '../runtime/skew.ts'
import { createOperatorMetrics } from './metrics.ts'
import { Operator } from './operator.ts'
import { operatorSettings, type OperatorSettings } from './settings.ts'

const log = createLog({ level: 'info', stream: process.stdout, now: Date.now })
const end = createProcessEnd({
  log,
  terminationLog: process.env['KEYSHIFT_TERMINATION_LOG'] ?? '/dev/termination-log',
  exit: (code) => process.exit(code),
  on: (event, listener) => process.on(event, listener),
})

async function main(settings: OperatorSettings): Promise<void> {
  log.setLevel(settings.logLevel)
  const { logger } = log
  const connection = connect({ from: 'auto' }, `keyshift-operator/${process.env['npm_package_version'] ?? ''}`)
  const registry = createRegistry()
  const metrics = createOperatorMetrics(registry)
  const skew = new ClockSkew(systemClock)
  const client = createKubeClient(connection, {
    skew,
    observe: ({ method, resource, status }) => metrics.request(method, resource, status),
  })
  const shutdown = watchShutdown({
    process,
    onSignal: (name) => logger.info('shutting down', { signal: name }),
  })
  const operator = new Operator({
    client,
    clock: systemClock,
    skew,
    decide,
    log: logger,
    metrics,
    addSecret: (value) => log.addSecret(value),
    namespaces: settings.namespaces,
    lease: { namespace: settings.podNamespace ?? connection.namespace, name: settings.lease },
    identity: leaderIdentity(settings.podName),
    instance: settings.podName,
    image: settings.image,
    pullPolicy: settings.pullPolicy,
    workers: settings.workers,
    onFatal: (reason) => void end.leave(1, reason),
  })
  const probes = await startProbeServer({
    port: settings.port,
    registry,
    healthy: () => operator.healthy(),
    ready: () => operator.ready(),
  })
  logger.info('operator started', { server: connection.server, port: probes.port, namespaces: settings.namespaces })
  await operator.run(shutdown.signal)
  await probes.close()
  connection.close()
  shutdown.dispose()
  await end.leave(0, 'stopped')
}

end.guard()
try {
  await main(operatorSettings(process.env))
} catch (error) {
  log.logger.error(error instanceof SettingsError ? `settings: ${error.message}` : 'the operator did not start', {
    error,
  })
  await end.leave(1, error instanceof Error ? error.message : String(error))
}
