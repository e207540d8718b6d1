// A whole application on the Keyshift client: a steady stream of jobs, each written and read back, and a page of metrics.
import { createServer } from 'node:http'
import { createKeyshiftClient } from '@keyshift/client'
import { Registry } from 'prom-client'

const registry = new Registry()
const client = createKeyshiftClient({
  legacy: 'ai:job:{job_id}',
  target: 'ai:job:{workspace_id}:{job_id}',
  encoding: 'hash',
  redis: { address: process.env.REDIS_ADDRESS ?? 'redis://127.0.0.1:6379/0' },
  routingDir: process.env.KEYSHIFT_ROUTING_DIR,
  metrics: { registry },
})

let n = 0
const timer = setInterval(async () => {
  const [jobs, id] = [client.forWorkspace(`team-${n % 5}`), `${process.env.POD_NAME}-${n++}`]
  await jobs.create(id, { prompt: `job ${n}`, status: 'new' }, { ttlMs: 3_600_000 }).catch(console.error)
  await jobs.get(id).catch(console.error)
}, 50)

const server = createServer(async (request, response) => {
  const ready = request.url !== '/readyz' || client.state().ready
  response
    .writeHead(ready ? 200 : 503)
    .end(request.url === '/metrics' ? await registry.metrics() : client.state().message)
}).listen(8080)
process.on('SIGTERM', () => {
  clearInterval(timer)
  server.close()
  void client.close()
})
