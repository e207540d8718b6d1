import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '../../../src/kube/connection.ts'
import type { Connection } from '../../../src/kube/connection.ts'

export interface Seen {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

export type Answer = (response: http.ServerResponse, request: Seen) => void

export interface FakeApiServer {
  readonly connection: Connection
  readonly url: string
  readonly dir: string
  /** All requests so far. */
  readonly seen: Seen[]
  /** Streams of watches that are open now. */
  readonly watches: http.ServerResponse[]
  /** What the next requests get, in order; when there is none left, `otherwise`. */
  script(...answers: Answer[]): void
  otherwise(answer: Answer): void
  stop(): Promise<void>
}

/** An HTTP server that answers as told and writes down what it was asked. `user` goes into the kubeconfig. */
export async function startFakeApiServer(user: object = { token: 'sesame' }): Promise<FakeApiServer> {
  const answers: Answer[] = []
  const seen: Seen[] = []
  const watches: http.ServerResponse[] = []
  let fallback: Answer = json(500, { kind: 'Status', message: 'nothing scripted' })
  const server = http.createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const url = new URL(request.url ?? '', 'http://fake')
      const entry = {
        method: request.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body,
      }
      seen.push(entry)
      if (url.searchParams.has('watch')) {
        watches.push(response)
        response.on('close', () => watches.splice(watches.indexOf(response), 1))
      }
      ;(answers.shift() ?? fallback)(response, entry)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const dir = mkdtempSync(join(tmpdir(), 'keyshift-fake-api-'))
  const path = join(dir, 'kubeconfig')
  writeFileSync(path, JSON.stringify(kubeconfig(url, user)))
  const connection = connect({ from: 'file', path }, 'keyshift-test')
  return {
    connection,
    url,
    dir,
    seen,
    watches,
    script: (...more) => void answers.push(...more),
    otherwise: (answer) => void (fallback = answer),
    async stop() {
      connection.close()
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
      rmSync(dir, { recursive: true })
    },
  }
}

function kubeconfig(server: string, user: object) {
  return {
    clusters: [{ name: 'fake', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'tester', user }],
    contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'tester', namespace: 'apps' } }],
    'current-context': 'fake',
  }
}

export function json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  }
}

/** Closes the connection without an answer. */
export const hangUp: Answer = (response) => void response.destroy()

/** Takes the request and never answers. */
export const silence: Answer = () => undefined

/** Opens a watch with these events and leaves it open. */
export function openWatch(...events: object[]): Answer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    for (const event of events) response.write(`${JSON.stringify(event)}\n`)
  }
}

/** A watch that ends in order after these events. */
export function endedWatch(...events: object[]): Answer {
  return (response, request) => {
    openWatch(...events)(response, request)
    response.end()
  }
}

export const status = (code: number, reason: string, message = '', details?: object) => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  code,
  reason,
  message,
  details,
})
