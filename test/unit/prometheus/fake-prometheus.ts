import http from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  readonly path: string
  readonly form: URLSearchParams
  readonly headers: http.IncomingHttpHeaders
}

export interface FakePrometheus {
  readonly url: string
  readonly asked: Asked[]
  answer(handler: (asked: Asked, response: http.ServerResponse) => void): void
  stop(): Promise<void>
}

/** An HTTP server that answers as told and writes down what it was asked. */
export async function startFakePrometheus(): Promise<FakePrometheus> {
  const asked: Asked[] = []
  let handler: (asked: Asked, response: http.ServerResponse) => void = (_, response) => response.end(vector([]))
  const server = http.createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      const entry = { path: request.url ?? '', form: new URLSearchParams(body), headers: request.headers }
      asked.push(entry)
      handler(entry, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    answer: (next) => void (handler = next),
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

/** Body of an answer; `time` in seconds. */
export function vector(
  samples: readonly (readonly [labels: Record<string, string>, value: string])[],
  more: object = {},
  time = 1000,
): string {
  const result = samples.map(([metric, value]) => ({ metric, value: [time, value] }))
  return JSON.stringify({ status: 'success', data: { resultType: 'vector', result }, ...more })
}

export function matrix(
  series: readonly (readonly [labels: Record<string, string>, values: readonly (readonly [number, string])[]])[],
  more: object = {},
): string {
  const result = series.map(([metric, values]) => ({ metric, values }))
  return JSON.stringify({ status: 'success', data: { resultType: 'matrix', result }, ...more })
}
