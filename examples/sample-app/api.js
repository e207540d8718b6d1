import { randomUUID } from 'node:crypto'

const JOB = /^\/workspaces\/([^/]+)\/jobs\/([^/]+)$/

const notFound = { status: 404, body: { error: 'NOT_FOUND' } }
const done = (found) => (found ? { status: 200, body: { ok: true } } : notFound)

/**
 * Every write has an operation id: where a restart of Redis cuts it off, the client repeats it until the deadline, and it
 * is done once. A caller then notices the restart by waiting.
 */
const once = () => ({ operationId: randomUUID() })

/** The job API over one store: hash jobs as fields, JSON jobs as text. */
export function apiRoutes(client, { encoding, queue }) {
  const shown = (workspace, job) => ({
    workspace,
    job: job.jobId,
    ...(encoding === 'hash' ? { fields: job.value } : { text: job.value }),
    ...(job.expiresAt !== undefined && { expiresAt: job.expiresAt }),
  })

  return [
    {
      method: 'POST',
      path: /^\/jobs$/,
      async handle({ body }) {
        const { workspace, job, fields, ttlMs, expiresAt } = object(body)
        const value = encoding === 'hash' ? object(fields) : JSON.stringify(object(fields))
        const options = {
          ...once(),
          ...(ttlMs !== undefined && { ttlMs }),
          ...(expiresAt !== undefined && { expiresAt }),
        }
        const store = client.forWorkspace(String(workspace))
        if (queue === undefined) await store.create(String(job), value, options)
        else await store.enqueue(String(job), value, { ...options, queue })
        return { status: 201, body: { workspace, job } }
      },
    },
    {
      method: 'GET',
      path: JOB,
      async handle({ params: [workspace, id] }) {
        const job = await client.forWorkspace(workspace).get(id)
        return job === undefined ? notFound : { status: 200, body: shown(workspace, job) }
      },
    },
    {
      method: 'PATCH',
      path: JOB,
      async handle({ params: [workspace, id], body }) {
        const { fields = {}, increment = {} } = object(body)
        const store = client.forWorkspace(workspace)
        if (encoding === 'json')
          return done(await store.update(id, (text) => JSON.stringify({ ...JSON.parse(text), ...fields }), once()))
        const commands = [
          ...Object.entries(fields).map(([field, value]) => ['HSET', field, String(value)]),
          ...Object.entries(increment).map(([field, by]) => ['HINCRBY', field, by]),
        ]
        return done((await store.mutate(id, commands, once())) !== undefined)
      },
    },
    {
      method: 'DELETE',
      path: JOB,
      async handle({ params: [workspace, id] }) {
        return (await client.forWorkspace(workspace).delete(id, once())) ? { status: 204 } : notFound
      },
    },
    {
      method: 'PUT',
      path: /^\/workspaces\/([^/]+)\/jobs\/([^/]+)\/expire$/,
      async handle({ params: [workspace, id], body }) {
        return done(await client.forWorkspace(workspace).expire(id, object(body), once()))
      },
    },
    {
      method: 'GET',
      path: /^\/workspaces\/([^/]+)\/jobs$/,
      async handle({ params: [workspace], query }) {
        const limit = Math.min(Math.max(Number(query.get('limit') ?? 20), 1), 1000)
        const jobs = []
        for await (const job of client.forWorkspace(workspace).list()) {
          jobs.push(shown(workspace, job))
          if (jobs.length >= limit) break
        }
        return { status: 200, body: { jobs } }
      },
    },
  ]
}

function object(value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw Object.assign(new Error('give a JSON object'), { status: 400 })
  return value
}
