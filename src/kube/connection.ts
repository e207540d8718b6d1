import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { KubeConfig } from '@kubernetes/client-node'
import { KubeError, transportError } from './errors.ts'
import { describeRequest } from './paths.ts'

/** One HTTP exchange with the API server. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Path with query, from the server's root. */
  readonly path: string
  readonly contentType?: string
  readonly body?: string
}

/** The raw answer; the reader must consume or destroy `stream`. */
export interface HttpAnswer {
  readonly status: number
  readonly retryAfter: string | undefined
  /** The server's clock, as an HTTP date. */
  readonly date: string | undefined
  readonly stream: http.IncomingMessage
}

/** An authenticated way to one API server. Rejects with KubeError status 0, or with the signal's reason when aborted. */
export interface Connection {
  /** `https://host:port`, for logs. */
  readonly server: string
  /** Namespace of the context, or of the pod's service account; `default` if neither says. */
  readonly namespace: string
  open(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer>
  /** Closes idle connections, so that a process can end. */
  close(): void
}

/** Where the credentials come from. `auto`: KUBECONFIG, then ~/.kube/config, then the pod's service account. */
export type ConnectionSource =
  | { readonly from: 'auto' }
  | { readonly from: 'cluster' }
  | { readonly from: 'file'; readonly path: string; readonly context?: string }

/** Throws a plain Error when the kubeconfig is unreadable, names no server, or would send credentials over plain HTTP. */
export function connect(source: ConnectionSource, userAgent = 'keyshift'): Connection {
  const config = new KubeConfig()
  if (source.from === 'cluster' && !process.env.KUBERNETES_SERVICE_HOST) {
    throw new Error('not in a pod: KUBERNETES_SERVICE_HOST is not set')
  }
  if (source.from === 'cluster') config.loadFromCluster()
  else if (source.from === 'file') config.loadFromFile(source.path)
  else config.loadFromDefault()
  if (source.from === 'file' && source.context !== undefined) config.setCurrentContext(source.context)
  return connectionOf(config, userAgent)
}

function connectionOf(config: KubeConfig, userAgent: string): Connection {
  const cluster = config.getCurrentCluster()
  if (cluster === null) throw new Error('the kubeconfig has no current context with a server')
  const base = new URL(cluster.server)
  // client-node falls back to http://localhost:8080 when it finds no kubeconfig at all
  if (base.protocol === 'http:' && !cluster.skipTLSVerify) {
    throw new Error(
      `no kubeconfig found, or one with the plain-HTTP server ${base.origin} and no insecure-skip-tls-verify`,
    )
  }
  const agents = new AgentCache()
  return {
    server: base.origin,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    async open(request, signal) {
      signal.throwIfAborted()
      const options = await credentials(config, agents)
      const headers: http.OutgoingHttpHeaders = {
        ...(options.headers as http.OutgoingHttpHeaders | undefined),
        accept: 'application/json',
        'user-agent': userAgent,
      }
      if (request.contentType !== undefined) headers['content-type'] = request.contentType
      if (request.body !== undefined) headers['content-length'] = Buffer.byteLength(request.body)
      const url = new URL(base.pathname.replace(/\/$/, '') + request.path, base)
      return send(url, { ...options, method: request.method, headers }, request, signal)
    },
    close: () => agents.close(),
  }
}

function send(url: URL, options: https.RequestOptions, request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = (url.protocol === 'http:' ? http : https).request(url, { ...options, signal }, (stream) => {
      resolve({
        status: stream.statusCode ?? 0,
        retryAfter: stream.headers['retry-after'],
        date: stream.headers.date,
        stream,
      })
    })
    outgoing.on('error', (error) =>
      reject(transportError(describeRequest(request.method, request.path), error, signal)),
    )
    outgoing.end(request.body)
  })
}

/** Headers, TLS material and agent, read anew for every request: tokens and certificates rotate on disk. */
async function credentials(config: KubeConfig, agents: AgentCache): Promise<https.RequestOptions> {
  try {
    const options: https.RequestOptions = {}
    await config.applyToHTTPSOptions(options)
    const tokenFile = tokenFileOf(config)
    if (tokenFile !== undefined) {
      // client-node keeps a token for a minute; a replaced one must be used with the next request
      const token = (await readFile(tokenFile, 'utf8')).trim()
      options.headers = { ...(options.headers as http.OutgoingHttpHeaders), Authorization: `Bearer ${token}` }
    }
    if (config.getCurrentCluster()?.proxyUrl === undefined) options.agent = agents.for(options)
    return options
  } catch (error) {
    throw new KubeError({
      status: 0,
      reason: 'CredentialUnreadable',
      message: `this process's own Kubernetes credential could not be read: ${(error as Error).message}`,
    })
  }
}

function tokenFileOf(config: KubeConfig): string | undefined {
  const provider = config.getCurrentUser()?.authProvider as { config?: { tokenFile?: string } } | undefined
  return provider?.config?.tokenFile
}

/** One keep-alive agent for the TLS material in use; a changed CA or client certificate gets a new one. */
class AgentCache {
  #key = ''
  #agent: http.Agent | undefined

  for(options: https.RequestOptions): http.Agent {
    const plain = options.agent instanceof http.Agent && !(options.agent instanceof https.Agent)
    const hash = createHash('sha256')
    for (const part of [options.ca, options.cert, options.key])
      hash.update((part as Buffer | undefined) ?? '').update('\0')
    const key = `${plain} ${options.servername} ${options.rejectUnauthorized} ${hash.digest('hex')}`
    if (this.#agent === undefined || key !== this.#key) {
      // the old agent is dropped, not destroyed: what is in flight ends on it
      this.#agent = plain ? new http.Agent(KEEP_ALIVE) : new https.Agent({ ...KEEP_ALIVE, ...tlsOf(options) })
      this.#key = key
    }
    return this.#agent
  }

  close(): void {
    this.#agent?.destroy()
    this.#agent = undefined
  }
}

// Linux probes an idle peer after 10 s, ten times a second apart: a silent network is found in 20 s. Free sockets go after 60 s.
const KEEP_ALIVE = { keepAlive: true, keepAliveMsecs: 10_000, timeout: 60_000 }

function tlsOf(options: https.RequestOptions): https.AgentOptions {
  const { ca, cert, key, servername, rejectUnauthorized } = options
  return Object.fromEntries(
    Object.entries({ ca, cert, key, servername, rejectUnauthorized }).filter(([, value]) => value !== undefined),
  )
}
