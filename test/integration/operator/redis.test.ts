import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { Redis } from 'ioredis'
import { startRedis, type LocalRedis } from '../../../hack/local/redis.ts'
import type { KubeClient } from '../../../src/kube/client.ts'
import { execute, type ActionContext, type ExecutorDeps } from '../../../src/operator/execute/execute.ts'
import { observeRedis } from '../../../src/operator/gather/redis.ts'
import { redisTrouble } from '../../../src/operator/redis-trouble.ts'
import { controlKeys, CONNECTION_NAME } from '../../../src/protocol/control-keys.ts'
import { makeDocument, renderDocument } from '../../../src/protocol/document.ts'
import { routingState } from '../../../src/protocol/phases.ts'
import { controlPrefix } from '../../../src/protocol/templates.ts'
import { Connection, type Credentials } from '../../../src/redis/connection.ts'
import { LEGACY, resource, TARGET } from '../../unit/operator/objects.ts'

jest.setTimeout(60_000)

const dir = mkdtempSync(join(tmpdir(), 'keyshift-redis-'))
const keys = controlKeys(controlPrefix(LEGACY, TARGET))
let server: LocalRedis
let admin: Redis
const closers: (() => Promise<unknown> | void)[] = []

beforeAll(async () => {
  server = await startRedis({ dir: join(dir, 'primary') })
  admin = new Redis(server.port, '127.0.0.1', { connectionName: CONNECTION_NAME.operator })
})
afterAll(async () => {
  admin.disconnect()
  await server.stop('KILL')
  rmSync(dir, { recursive: true, force: true })
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await admin.flushall()
})

function operator(credentials?: Credentials): Connection {
  const connection = new Connection({
    address: { host: '127.0.0.1', port: server.port, db: 0 },
    name: CONNECTION_NAME.operator,
    credentials: async () => credentials,
    backoff: { minMs: 20, maxMs: 100 },
  })
  closers.push(() => connection.close())
  return connection
}
async function connected(options: { name?: string; user?: string; db?: number } = {}): Promise<Redis> {
  const redis = new Redis(server.port, '127.0.0.1', {
    ...(options.name === undefined ? {} : { connectionName: options.name }),
    ...(options.user === undefined ? {} : { username: options.user, password: 'pw' }),
    db: options.db ?? 0,
  })
  closers.push(() => redis.disconnect())
  await redis.ping()
  return redis
}

describe('who may write, on a real Redis (O13)', () => {
  it('names foreign writers and nobody else', async () => {
    await admin.acl('SETUSER', 'reader', 'on', '>pw', '~*', '+@read', '+ping', '+info', '+client', '+select')
    await admin.acl('SETUSER', 'elsewhere', 'on', '>pw', '~other:*', '+@all')
    await admin.acl('SETUSER', 'exporter', 'on', '>pw', '~*', '+@all')
    const record = JSON.stringify({ podUid: 'u', podName: 'api-1', version: '1', registeredAt: 1 })
    await admin.hset(keys.members, 'api-1', record)
    await admin.set(keys.lease('api-1'), JSON.stringify({ epoch: 1, hash: 'h' }))
    await connected({ name: CONNECTION_NAME.client('api-1') })
    await connected({ name: CONNECTION_NAME.worker('jobs-backfill-1') })
    await connected({ user: 'reader' })
    await connected({ user: 'elsewhere' })
    await connected({ user: 'exporter' })
    await connected({ db: 3 })
    const monitor = await (await connected({ name: 'watching' })).monitor()
    closers.push(() => monitor.disconnect())
    const replica = await startRedis({
      dir: join(dir, 'replica'),
      args: ['--replicaof', '127.0.0.1', String(server.port)],
    })
    closers.push(() => replica.stop('KILL'))
    while (!(await admin.info('replication')).includes('state=online'))
      await new Promise((resolve) => setTimeout(resolve, 50))
    await (await connected({ name: 'keda' })).set('x', '1')
    const given = resource({ spec: { redis: { address: 'redis://r:1/0', observers: ['exporter', 'watching'] } } })
    const { writers, observers, members } = await observeRedis(operator(), given)
    expect(writers).toEqual({ known: true, value: ['user default from 127.0.0.1 name "keda"'] })
    expect(observers).toEqual([
      'user default from 127.0.0.1 name "watching": MONITOR',
      'user default from 127.0.0.1 name "watching": in redis.observers',
      'user default from 127.0.0.1: a replica',
      'user elsewhere from 127.0.0.1: its user may not write jobs',
      'user exporter from 127.0.0.1: in redis.observers',
      'user reader from 127.0.0.1: its user may not write jobs',
    ])
    expect(members).toMatchObject([{ id: 'api-1', lease: { epoch: 1 } }])
  })

  it('is unknown to a user that may not list connections, and the rest is read all the same', async () => {
    await admin.acl('SETUSER', 'op', 'on', '>pw', '~*', '+@all', '-client|list')
    const { writers, lineage } = await observeRedis(operator({ username: 'op', password: 'pw' }), resource())
    expect(writers).toMatchObject({
      known: false,
      reason: 'WritersUnknown',
      message: expect.stringMatching(/grant CLIENT\|LIST/) as string,
    })
    expect(lineage).toMatch(/^[0-9a-f]{40}$/)
  })
})

describe('a Redis that cannot be read says why', () => {
  const trouble = async (connection: Connection) => {
    try {
      await observeRedis(connection, resource())
    } catch (error) {
      return redisTrouble(error, { address: 'redis://r:1/20' })
    }
    return undefined
  }

  it('a user without rights', async () => {
    await admin.acl('SETUSER', 'poor', 'on', '>pw', '~*', '+ping', '+info', '+client|setname')
    expect(await trouble(operator({ username: 'poor', password: 'pw' }))).toMatchObject({
      reason: 'RedisRightsMissing',
      message: expect.stringMatching(/NOPERM|no permissions/) as string,
    })
  })

  it('a db that is not there, with the server, the db and the field of the spec', async () => {
    const connection = new Connection({ address: { host: '127.0.0.1', port: server.port, db: 20 }, name: 'x' })
    closers.push(() => connection.close())
    expect(await trouble(connection)).toMatchObject({
      reason: 'RedisRefused',
      message: expect.stringMatching(
        /^redis:\/\/r:1\/20 \(spec\.redis\.address\): db 20 cannot be used there: ERR DB index.*`databases`/,
      ) as string,
    })
  })

  it('a wrong password', async () => {
    await admin.acl('SETUSER', 'locked', 'on', '>pw', '~*', '+@all')
    expect(await trouble(operator({ username: 'locked', password: 'no' }))).toMatchObject({ reason: 'RedisAuthFailed' })
  })

  it('a replica', async () => {
    const replica = await startRedis({
      dir: join(dir, 'reader'),
      args: ['--replicaof', '127.0.0.1', String(server.port)],
    })
    closers.push(() => replica.stop('KILL'))
    const connection = new Connection({ address: { host: '127.0.0.1', port: replica.port, db: 0 }, name: 'x' })
    closers.push(() => connection.close())
    expect(await trouble(connection)).toMatchObject({ reason: 'RedisNotPrimary' })
  })
})

describe('an action', () => {
  const input = {
    name: 'jobs',
    canaryBy: 'Job' as const,
    legacy: LEGACY,
    target: TARGET,
    workspaceField: 'workspace_id',
    queues: [],
  }
  const document = (epoch: number) => renderDocument(makeDocument(input, routingState('DualWrite', 0, 10), epoch))
  let patches: unknown[]
  let deps: ExecutorDeps
  const context = (owner = 'app'): ActionContext => {
    const given = resource()
    return {
      resource: { ...given, metadata: { ...given.metadata, namespace: owner } },
      status: { epoch: 2, templates: ['t1'], evidence: { lineage: 'l', baseEpoch: 1 } },
      cluster: 'c1',
      signal: new AbortController().signal,
    }
  }
  beforeEach(() => {
    patches = []
    const connection = operator()
    deps = {
      client: {
        patchStatus: async (...args: unknown[]) => void patches.push(args.slice(2, 4)),
      } as unknown as KubeClient,
      pool: { connectionFor: async () => connection },
      caches: { applied: () => undefined },
      image: 'k:1',
      pullPolicy: 'IfNotPresent',
    }
  })

  it('writes the record, again without harm, and never an older one', async () => {
    const write = (epoch: number) =>
      execute(deps, context(), { type: 'WriteRecord', document: document(epoch), epoch, reason: 'x' })
    expect([await write(3), await write(3)]).toEqual([{ ok: true }, { ok: true }])
    expect(await write(2)).toMatchObject({
      ok: false,
      reason: 'RecordRefused',
      message: expect.stringMatching(/epoch 3, revision 0 already/) as string,
    })
    expect(await admin.hgetall(keys.record)).toMatchObject({
      owner: 'app/jobs',
      cluster: 'c1',
      epoch: '3',
      phase: 'DualWrite',
      document: document(3),
      revision: '0',
      account: '{"evidence":{"baseEpoch":1,"lineage":"l"},"templates":["t1"]}',
    })
  })

  it('does not take the record of another resource, but where a person has settled it', async () => {
    const write = (owner: string, takeOver?: true) =>
      execute(deps, context(owner), {
        type: 'WriteRecord',
        document: document(3),
        epoch: 3,
        reason: 'x',
        ...(takeOver === undefined ? {} : { takeOver }),
      })
    await write('app')
    expect(await write('other')).toMatchObject({
      ok: false,
      message: expect.stringMatching(/belongs to app\/jobs/) as string,
    })
    expect(await write('other', true)).toEqual({ ok: true })
    expect(await admin.hget(keys.record, 'owner')).toBe('other/jobs')
  })

  it('raises the fence and says so in the status, under the lock of the version it saw', async () => {
    expect(await execute(deps, context(), { type: 'RaiseFence', epoch: 4 })).toEqual({ ok: true })
    expect(await admin.get(keys.fence)).toBe('4')
    expect(patches).toEqual([[{ fence: 4 }, '10']])
  })

  it('confirms a fence that the status knows without writing it again, on the lineage that was seen alone', async () => {
    const lineage = /master_replid:(\w+)/.exec(await admin.info('replication'))?.[1]
    const known = context()
    const seen = { ...known, resource: { ...known.resource, status: { fence: 6 } } }
    expect(await execute(deps, seen, { type: 'RaiseFence', epoch: 6, lineage: lineage ?? '' })).toEqual({ ok: true })
    expect(patches).toEqual([])
    expect(await execute(deps, seen, { type: 'RaiseFence', epoch: 6, lineage: 'another' })).toMatchObject({
      ok: false,
      reason: 'FailedOver',
    })
  })

  it('does not count a fence that a connected replica has not acknowledged', async () => {
    const replica = await startRedis({
      dir: join(dir, 'stopped'),
      args: ['--replicaof', '127.0.0.1', String(server.port)],
    })
    closers.push(() => replica.stop('KILL'))
    while (!(await admin.info('replication')).includes('state=online'))
      await new Promise((resolve) => setTimeout(resolve, 50))
    process.kill(replica.pid, 'SIGSTOP')
    closers.push(() => void process.kill(replica.pid, 'SIGCONT'))
    const result = await execute(deps, context(), { type: 'RaiseFence', epoch: 5 })
    expect(result).toMatchObject({
      ok: false,
      reason: 'FenceNotConfirmed',
      message: expect.stringMatching(
        new RegExp(`0 of 1 replicas have it; not yet: 127\\.0\\.0\\.1:${replica.port} \\(online, lags behind\\)$`),
      ) as string,
    })
    expect(patches).toEqual([])
  })

  it('waits for a replica in full sync too, for it may be promoted with what it had, and names it', async () => {
    await admin.config('SET', 'repl-diskless-sync-delay', '3600')
    const replica = await startRedis({
      dir: join(dir, 'syncing'),
      args: ['--replicaof', '127.0.0.1', String(server.port)],
    })
    closers.push(() => replica.stop('KILL'))
    while (!(await admin.info('replication')).includes('state=wait_bgsave'))
      await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await execute(deps, context(), { type: 'RaiseFence', epoch: 6 })).toMatchObject({
      ok: false,
      reason: 'FenceNotConfirmed',
      message: expect.stringMatching(
        /0 of 1 replicas have it; not yet: 127\.0\.0\.1:\d+ \(in full sync: wait_bgsave\)$/,
      ) as string,
    })
    expect(patches).toEqual([])
    await admin.config('SET', 'repl-diskless-sync-delay', '0')
    while (!(await admin.info('replication')).includes('state=online'))
      await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await execute(deps, context(), { type: 'RaiseFence', epoch: 6 })).toEqual({ ok: true })
  })

  it('marks a completed backfill and begins the count of fallback reads anew', async () => {
    await admin.set(keys.fallbackReads, '7')
    await execute(deps, context(), { type: 'MarkBackfilled', on: true })
    expect([await admin.exists(keys.backfilled), Number(await admin.get(keys.fallbackReads))]).toEqual([1, 0])
    await execute(deps, context(), { type: 'MarkBackfilled', on: false })
    expect(await admin.exists(keys.backfilled)).toBe(0)
  })

  it('removes the members named and no other', async () => {
    await admin.hset(keys.members, 'a', '{}', 'b', '{}')
    await execute(deps, context(), { type: 'PruneMembers', ids: ['a'] })
    expect(await admin.hkeys(keys.members)).toEqual(['b'])
  })
})
