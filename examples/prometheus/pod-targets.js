/**
 * Lists the annotated pods of the cluster for `http_sd_configs`: Prometheus as some distributions build it cannot ask
 * Kubernetes itself. Runs beside Prometheus with its service account.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
const API = 'https://kubernetes.default.svc/api/v1/pods?fieldSelector=status.phase%3DRunning'

async function targets() {
  const authorization = `Bearer ${readFileSync(`${ACCOUNT}/token`, 'utf8')}` // Read each time: it is renewed.
  const answer = await fetch(API, { headers: { authorization } })
  if (!answer.ok) throw new Error(`the API server answered ${answer.status}`)
  const { items } = await answer.json()
  return items
    .filter(({ metadata, status }) => metadata.annotations?.['prometheus.io/scrape'] === 'true' && status.podIP)
    .map(({ metadata, status }) => ({
      targets: [`${status.podIP}:${metadata.annotations['prometheus.io/port'] ?? 80}`],
      labels: { namespace: metadata.namespace, pod: metadata.name },
    }))
}

const server = createServer(async (_request, response) => {
  try {
    const text = JSON.stringify(await targets())
    response.writeHead(200, { 'content-type': 'application/json' }).end(text)
  } catch (error) {
    console.error(error.message)
    response.writeHead(502).end(error.message)
  }
})
server.listen(8081, '127.0.0.1')
process.on('SIGTERM', () => server.close())
