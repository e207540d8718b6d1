import { createServer } from 'node:http'
import { answerFor } from './errors.js'

const MAX_BODY_BYTES = 1_048_576

/**
 * HTTP with JSON in and out. A route is `{ method, path: RegExp, handle({ params, query, body }) }` and answers
 * `{ status, body }`. While `draining()`, each answer closes its connection: callers go to another pod, and none sends a
 * request into a connection that is just being closed.
 */
export async function startServer(port, { routes, ready, draining, metrics, log }) {
  const own = [
    { method: 'GET', path: /^\/healthz$/, handle: async () => ({ status: 200, body: { ok: true } }) },
    { method: 'GET', path: /^\/readyz$/, handle: async () => ({ status: ready().ready ? 200 : 503, body: ready() }) },
    { method: 'GET', path: /^\/metrics$/, handle: async () => ({ status: 200, raw: await metrics() }) },
  ]
  const all = [...own, ...routes]

  async function serve(request) {
    const url = new URL(request.url, 'http://localhost')
    for (const route of all) {
      const match = route.path.exec(url.pathname)
      if (match === null || route.method !== request.method) continue
      const params = match.slice(1).map(decodeURIComponent)
      return route.handle({ params, query: url.searchParams, body: await readBody(request) })
    }
    return { status: 404, body: { error: 'NO_ROUTE' } }
  }

  const server = createServer((request, response) => {
    serve(request)
      .catch((error) => {
        const answer = answerFor(error)
        if (answer.status >= 500) log('error', error.message, { code: error.code, path: request.url })
        return answer
      })
      .then((answer) => write(response, answer, draining()))
  })
  // Longer than any caller keeps a connection idle: the caller, who knows what it sent, closes first.
  server.keepAliveTimeout = 75_000
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, resolve))
  return {
    port: server.address().port,
    stop: () =>
      new Promise((resolve) => {
        server.close(resolve)
        server.closeIdleConnections()
      }),
  }
}

function write(response, { status, body, raw, headers = {} }, last) {
  const text = raw?.text ?? (body === undefined ? '' : JSON.stringify(body))
  response.writeHead(status, {
    'content-type': raw?.type ?? 'application/json',
    ...headers,
    ...(last && { connection: 'close' }),
  })
  response.end(text)
}

async function readBody(request) {
  const chunks = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) throw Object.assign(new Error('the body is too large'), { status: 413 })
    chunks.push(chunk)
  }
  if (size === 0) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    throw Object.assign(new Error('the body is no JSON'), { status: 400 })
  }
}
