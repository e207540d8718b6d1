import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'

/** A probe answers nothing when all is well, or one line that says what is not. */
export type Probe = () => string | undefined

export interface ProbeServer {
  readonly port: number
  close(): Promise<void>
}

export interface ProbeServerOptions {
  /** 0 takes any free port. */
  readonly port: number
  readonly registry: Registry
  readonly healthy: Probe
  readonly ready: Probe
}

/** Serves `/metrics`, `/healthz` and `/readyz`. @throws when the port is taken */
export async function startProbeServer(options: ProbeServerOptions): Promise<ProbeServer> {
  const probes: Readonly<Record<string, Probe>> = { '/healthz': options.healthy, '/readyz': options.ready }
  const server = createServer((request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(response, 405, 'only GET')
    const path = (request.url ?? '/').split('?')[0] ?? '/'
    const probe = Object.hasOwn(probes, path) ? probes[path] : undefined
    if (probe !== undefined) {
      const fault = probe()
      return answer(response, fault === undefined ? 200 : 503, fault ?? 'ok')
    }
    if (path !== '/metrics') return answer(response, 404, 'there are /metrics, /healthz and /readyz')
    options.registry.metrics().then(
      (text) => answer(response, 200, text, options.registry.contentType),
      (error: unknown) => answer(response, 500, error instanceof Error ? error.message : 'metrics failed'),
    )
  })
  server.requestTimeout = 10_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function answer(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type })
  response.end(text.endsWith('\n') ? text : `${text}\n`)
}
