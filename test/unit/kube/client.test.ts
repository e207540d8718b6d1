import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createKubeClient } from '../../../src/kube/client.ts'
import type { RequestObservation } from '../../../src/kube/client.ts'
import { connect } from '../../../src/kube/connection.ts'
import type { KubeError } from '../../../src/kube/errors.ts'
import { CONFIG_MAPS, JOBS } from '../../../src/kube/resources.ts'
import type { ConfigMap } from '../../../src/kube/types.ts'
import { FakeClock, settle } from '../runtime/fake-clock.ts'
import { hangUp, json, silence, startFakeApiServer, status } from './fake-api-server.ts'
import type { FakeApiServer } from './fake-api-server.ts'

const ref = { namespace: 'ns', name: 'a' }
const routing: ConfigMap = { metadata: { namespace: 'ns', name: 'a' }, data: { 'routing.json': '{}' } }
const stored = { ...routing, apiVersion: 'v1', kind: 'ConfigMap', unknownField: { kept: true } }

let api: FakeApiServer
let clock: FakeClock
let observed: RequestObservation[]
let client: ReturnType<typeof createKubeClient>

beforeEach(async () => {
  api = await startFakeApiServer()
  clock = new FakeClock()
  observed = []
  client = createKubeClient(api.connection, { clock, observe: (request) => observed.push(request) })
})
afterEach(() => api.stop())

/** Waits for the promise while pauses between tries pass in no time; returns the pauses. */
async function withPauses(work: Promise<unknown>): Promise<number[]> {
  const pauses: number[] = []
  let finished = false
  const end = work.then(
    () => (finished = true),
    () => (finished = true),
  )
  while (!finished) {
    await settle()
    const next = clock.pending[0]
    if (next === undefined) continue
    pauses.push(next)
    await clock.advance(next)
  }
  await end
  return pauses
}

describe('requests', () => {
  it('carry the credential, say who asks and want JSON', async () => {
    api.script(json(200, stored))
    await client.get(CONFIG_MAPS, ref)
    expect(api.seen[0]).toMatchObject({ method: 'GET', path: '/api/v1/namespaces/ns/configmaps/a' })
    expect(api.seen[0]?.headers).toMatchObject({
      authorization: 'Bearer sesame',
      'user-agent': 'keyshift-test',
      accept: 'application/json',
    })
  })

  it('give back fields we do not know', async () => {
    api.script(json(200, stored))
    expect(await client.get(CONFIG_MAPS, ref)).toEqual(stored)
  })

  it.each<[string, () => Promise<unknown>, string, string, string, unknown]>([
    [
      'create',
      () => client.create(CONFIG_MAPS, routing),
      'POST /api/v1/namespaces/ns/configmaps',
      '',
      'application/json',
      { ...routing, apiVersion: 'v1', kind: 'ConfigMap' },
    ],
    [
      'delete in the background, only this very object',
      () => client.delete(JOBS, ref, { uid: 'u1' }),
      'DELETE /apis/batch/v1/namespaces/ns/jobs/a',
      '',
      'application/json',
      { propagationPolicy: 'Background', preconditions: { uid: 'u1' } },
    ],
    [
      'server-side apply',
      () => client.apply(CONFIG_MAPS, routing, { fieldManager: 'keyshift', force: true }),
      'PATCH /api/v1/namespaces/ns/configmaps/a',
      'fieldManager=keyshift&force=true',
      'application/apply-patch+yaml',
      { ...routing, apiVersion: 'v1', kind: 'ConfigMap' },
    ],
    [
      'server-side apply of the status',
      () => client.applyStatus(JOBS, { metadata: ref }, { fieldManager: 'keyshift', force: false }),
      'PATCH /apis/batch/v1/namespaces/ns/jobs/a/status',
      'fieldManager=keyshift&force=false',
      'application/apply-patch+yaml',
      { metadata: ref, apiVersion: 'batch/v1', kind: 'Job' },
    ],
    [
      'merge patch',
      () => client.mergePatch(CONFIG_MAPS, ref, { data: { gone: null } }, { fieldManager: 'keyshift' }),
      'PATCH /api/v1/namespaces/ns/configmaps/a',
      'fieldManager=keyshift',
      'application/merge-patch+json',
      { data: { gone: null } },
    ],
    [
      'status patch under the optimistic lock',
      () => client.patchStatus(JOBS, ref, { active: 1 }, '42'),
      'PATCH /apis/batch/v1/namespaces/ns/jobs/a/status',
      '',
      'application/merge-patch+json',
      { metadata: { resourceVersion: '42' }, status: { active: 1 } },
    ],
  ])('%s', async (_, call, line, query, contentType, body) => {
    api.script(json(200, stored))
    await call()
    const seen = api.seen[0]
    expect(`${seen?.method} ${seen?.path}`).toBe(line)
    expect(seen?.query.toString()).toBe(query)
    expect(seen?.headers['content-type']).toBe(contentType)
    expect(JSON.parse(seen?.body ?? '')).toEqual(body)
  })

  it('reuse one connection', async () => {
    const ports = new Set<number | undefined>()
    api.otherwise((response, request) => {
      ports.add(response.socket?.remotePort)
      json(200, stored)(response, request)
    })
    for (let i = 0; i < 5; i++) await client.get(CONFIG_MAPS, ref)
    expect(ports.size).toBe(1)
  })

  it('are told to the observer with their outcome', async () => {
    api.script(json(200, stored), json(404, status(404, 'NotFound')))
    await client.get(CONFIG_MAPS, ref)
    await expect(client.get(CONFIG_MAPS, ref)).rejects.toMatchObject({ reason: 'NotFound' })
    expect(observed).toEqual([
      { method: 'GET', resource: 'configmaps', status: 200, durationMs: 0 },
      { method: 'GET', resource: 'configmaps', status: 404, durationMs: 0 },
    ])
  })
})

describe('list', () => {
  it('reads all pages and types each item as a watch would', async () => {
    api.script(
      json(200, { metadata: { resourceVersion: '10', continue: 'more' }, items: [{ metadata: { name: 'a' } }] }),
      json(200, { metadata: { resourceVersion: '10' }, items: [{ metadata: { name: 'b' } }] }),
    )
    const list = await client.list(CONFIG_MAPS, { namespace: 'ns', labelSelector: 'x=y' })
    expect(list.resourceVersion).toBe('10')
    expect(list.items).toEqual(['a', 'b'].map((name) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } })))
    expect(api.seen.map((seen) => seen.query.toString())).toEqual([
      'labelSelector=x%3Dy&limit=500',
      'labelSelector=x%3Dy&limit=500&continue=more',
    ])
  })

  it('fails when the list expired between pages, so that the caller starts again', async () => {
    api.script(json(200, { metadata: { continue: 'more' }, items: [] }), json(410, status(410, 'Expired')))
    await expect(client.list(CONFIG_MAPS)).rejects.toMatchObject({ status: 410 })
  })

  it('of nothing is an empty list', async () => {
    api.script(json(200, { metadata: { resourceVersion: '1' }, items: null }))
    expect(await client.list(CONFIG_MAPS)).toEqual({ resourceVersion: '1', items: [] })
  })
})

describe('failures', () => {
  const busy = json(429, status(429, 'TooManyRequests'), { 'retry-after': '3' })

  it('a write told to come back later does so, not sooner than asked', async () => {
    api.script(busy, busy, json(201, stored))
    const call = client.create(CONFIG_MAPS, routing)
    expect(await withPauses(call)).toEqual([3000, 3000])
    await call
    expect(api.seen).toHaveLength(3)
  })

  it('a server that stays busy gets four tries, then the caller hears of it', async () => {
    api.otherwise(busy)
    const call = client.get(CONFIG_MAPS, ref)
    await withPauses(call)
    await expect(call).rejects.toMatchObject({ status: 429, retryAfterMs: 3000 })
    expect(api.seen).toHaveLength(4)
  })

  it('a Retry-After of a minute is left to the caller', async () => {
    api.script(json(429, status(429, 'TooManyRequests'), { 'retry-after': '60' }))
    await expect(client.get(CONFIG_MAPS, ref)).rejects.toMatchObject({ retryAfterMs: 60_000 })
    expect(api.seen).toHaveLength(1)
  })

  it('a read whose connection is cut is tried again', async () => {
    api.script(hangUp, hangUp, json(200, stored))
    const call = client.get(CONFIG_MAPS, ref)
    const pauses = await withPauses(call)
    await call
    expect(pauses).toHaveLength(2)
    expect(Math.max(...pauses)).toBeLessThanOrEqual(400)
  })

  it('a read cut in the middle of its answer is tried again', async () => {
    const half: typeof hangUp = (response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('{"meta', () => response.destroy())
    }
    api.script(half, json(200, stored))
    const call = client.get(CONFIG_MAPS, ref)
    await withPauses(call)
    expect(await call).toEqual(stored)
  })

  it.each<[string, () => Promise<unknown>]>([
    ['create', () => client.create(CONFIG_MAPS, routing)],
    ['apply', () => client.apply(CONFIG_MAPS, routing, { fieldManager: 'k', force: false })],
    ['delete', () => client.delete(CONFIG_MAPS, ref)],
  ])('%s is never sent twice after a cut connection: it may have been done', async (_, call) => {
    api.script(hangUp, json(200, stored))
    await expect(call()).rejects.toMatchObject({ status: 0, reason: 'ConnectionFailed' })
    expect(api.seen).toHaveLength(1)
  })

  it.each([
    ['a refusal', json(403, status(403, 'Forbidden'))],
    ['an error of the server', json(500, status(500, 'InternalError'))],
  ])('%s is not tried again', async (_, answer) => {
    api.script(answer, json(200, stored))
    await expect(client.get(CONFIG_MAPS, ref)).rejects.toBeInstanceOf(Error)
    expect(api.seen).toHaveLength(1)
  })

  it('nothing is tried again for a caller with a backoff of its own', async () => {
    api.script(hangUp, json(200, stored))
    await expect(client.get(CONFIG_MAPS, ref, { retry: false })).rejects.toMatchObject({ status: 0 })
    expect(api.seen).toHaveLength(1)
  })

  it('a server that never answers is given up on', async () => {
    api.script(silence)
    const call = client.get(CONFIG_MAPS, ref, { timeoutMs: 30 })
    await expect(call).rejects.toMatchObject({ status: 0, reason: 'RequestTimeout' })
    await expect(call).rejects.toThrow('GET /api/v1/namespaces/ns/configmaps/a: no answer within 30 ms')
  })

  it('an answer that never ends is given up on', async () => {
    api.script((response) => void response.writeHead(200).write('{'))
    const call = client.get(CONFIG_MAPS, ref, { timeoutMs: 30 })
    await expect(call).rejects.toMatchObject({ reason: 'RequestTimeout' })
  })

  it('a page of a proxy that says 200 is an error, not an object', async () => {
    api.script((response) => void response.writeHead(200).end('<html>'))
    await expect(client.get(CONFIG_MAPS, ref)).rejects.toMatchObject({ status: 0, reason: 'BadAnswer' })
  })

  it('an aborted call rejects with the reason of the abort', async () => {
    const stop = new AbortController()
    api.script(silence)
    const call = client.get(CONFIG_MAPS, ref, { signal: stop.signal })
    stop.abort(new Error('stopping'))
    await expect(call).rejects.toThrow('stopping')
  })

  it('an abort ends the pause before the next try', async () => {
    const stop = new AbortController()
    api.otherwise(busy)
    const call = client.get(CONFIG_MAPS, ref, { signal: stop.signal })
    const outcome = expect(call).rejects.toThrow('stopping')
    while (clock.pending.length === 0) await settle()
    stop.abort(new Error('stopping'))
    await outcome
    expect(api.seen).toHaveLength(1)
  })
})

describe('credentials on disk', () => {
  const connectWithTokenFile = (tokenFile: string) => {
    const path = join(api.dir, 'with-token-file')
    const config = JSON.parse(readFileSync(join(api.dir, 'kubeconfig'), 'utf8')) as {
      users: { user: object }[]
    }
    config.users[0] = { ...config.users[0], user: { 'auth-provider': { name: 'tokenFile', config: { tokenFile } } } }
    writeFileSync(path, JSON.stringify(config))
    const connection = connect({ from: 'file', path })
    return { connection, client: createKubeClient(connection, { clock }) }
  }

  it('a token replaced on disk is used with the very next request', async () => {
    const tokenFile = join(api.dir, 'token')
    api.otherwise(json(200, stored))
    writeFileSync(tokenFile, 'first\n')
    const { client, connection } = connectWithTokenFile(tokenFile)
    await client.get(CONFIG_MAPS, ref)
    writeFileSync(tokenFile, 'second\n')
    await client.get(CONFIG_MAPS, ref)
    connection.close()
    expect(api.seen.map((seen) => seen.headers.authorization)).toEqual(['Bearer first', 'Bearer second'])
  })

  it('a token that cannot be read is named as our own fault, and nothing is sent', async () => {
    const tokenFile = join(api.dir, 'token')
    writeFileSync(tokenFile, 'first')
    const { client, connection } = connectWithTokenFile(tokenFile)
    rmSync(tokenFile)
    const error = await client.get(CONFIG_MAPS, ref).catch((error: unknown) => error as KubeError)
    connection.close()
    expect(error).toMatchObject({ status: 0, reason: 'CredentialUnreadable' })
    expect(api.seen).toEqual([])
  })
})

describe('connect', () => {
  it('knows the namespace of the context and the server', () => {
    expect(api.connection.namespace).toBe('apps')
    expect(api.connection.server).toBe(api.url)
  })

  it('refuses a kubeconfig that names no server', () => {
    const path = join(api.dir, 'empty')
    writeFileSync(path, '{"clusters":[],"contexts":[],"users":[]}')
    expect(() => connect({ from: 'file', path })).toThrow('no current context')
  })

  it('refuses plain HTTP, unless the kubeconfig says that this is meant', () => {
    const path = join(api.dir, 'plain')
    const text = readFileSync(join(api.dir, 'kubeconfig'), 'utf8')
    writeFileSync(path, text.replace('"insecure-skip-tls-verify":true', '"insecure-skip-tls-verify":false'))
    expect(() => connect({ from: 'file', path })).toThrow('plain-HTTP server')
  })

  it('refuses to play a pod outside of one', () => {
    expect(process.env.KUBERNETES_SERVICE_HOST).toBeUndefined()
    expect(() => connect({ from: 'cluster' })).toThrow('not in a pod')
  })
})
