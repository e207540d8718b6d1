/**
 * A job service as teams have it: `node main.js api` serves jobs over HTTP, `node main.js worker` takes them from the
 * queue. All Redis work goes through the Keyshift client; where each key lies is none of this app's business.
 */
import { createKeyshiftClient } from '@keyshift/client'
import { Registry, collectDefaultMetrics } from 'prom-client'
import { apiRoutes } from './api.js'
import { startServer } from './server.js'
import { readSettings } from './settings.js'
import { startWorker } from './worker.js'

const settings = readSettings(process.env)
const log = (level, message, detail = {}) =>
  console.log(JSON.stringify({ time: new Date().toISOString(), level, message, ...detail }))

const registry = new Registry()
collectDefaultMetrics({ register: registry })

const client = createKeyshiftClient({
  legacy: settings.legacy,
  target: settings.target,
  encoding: settings.encoding,
  redis: {
    address: settings.redis,
    credentials: async () =>
      settings.password === undefined ? undefined : { username: settings.username, password: settings.password },
  },
  routingDir: settings.routingDir,
  podUid: settings.podUid,
  podName: settings.podName,
  deadlineMs: settings.deadlineMs,
  operationTtlMs: 4 * settings.deadlineMs,
  metrics: { registry },
  log,
})

let stopping = false
const server = await startServer(settings.port, {
  routes: settings.mode === 'api' ? apiRoutes(client, settings) : [],
  draining: () => stopping,
  ready: () => (stopping ? { ready: false, reason: 'STOPPING' } : client.state()),
  metrics: async () => ({ type: registry.contentType, text: await registry.metrics() }),
  log,
})
const worker = settings.mode === 'worker' ? startWorker(client, settings, log) : undefined
log('info', `${settings.mode} listens on ${server.port}`)

// SIGTERM: say not ready, serve those who do not know it yet, then end what is under way and close.
async function stop(signal) {
  if (stopping) return
  stopping = true
  log('info', `${signal}: draining`)
  await worker?.stop()
  if (settings.mode === 'api') await new Promise((resolve) => setTimeout(resolve, settings.lameDuckMs))
  await server.stop()
  await client.close()
  log('info', 'ended')
  process.exit(0)
}
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void stop(signal))
