import { NoAnswer, type Answer } from '../../../demo/http-api.ts'
import { Ledger } from '../../../demo/ledger.ts'
import { Traffic } from '../../../demo/traffic.ts'
import { hashFields } from '../../../demo/jobs.ts'
import { HARMS, type Harm } from '../../../demo/violations.ts'
import { FakeApp } from './fake-app.ts'

type Spoil = (
  app: FakeApp,
  method: string,
  path: string,
  body: unknown,
  honest: () => Promise<Answer>,
) => Promise<Answer>

/** 4,000 requests one after another against the fake app, some of its answers spoilt. */
async function run(spoil?: Spoil) {
  const app = new FakeApp()
  const honest = app.send.bind(app)
  if (spoil !== undefined)
    app.send = (method, path, body) => spoil(app, method, path, body, () => honest(method, path, body))
  const ledger = new Ledger('jobs')
  const traffic = new Traffic({ api: app, ledger, rate: 0, now: () => app.now })
  for (let i = 0; i < 4_000; i++) {
    traffic.step()
    await traffic.stop()
    app.now += 25
  }
  return { traffic, ledger, app }
}

const isJob = (path: string): boolean => path.split('/').length === 5

/** A spoiler that acts on the `nth` request that `matches`, and on that one only. */
function once(matches: (method: string, path: string) => boolean, nth: number, act: Spoil): Spoil {
  let seen = 0
  return (app, method, path, body, honest) =>
    matches(method, path) && ++seen === nth ? act(app, method, path, body, honest) : honest()
}

it('finds nothing wrong with an honest app, in thousands of requests of every kind', async () => {
  const { traffic, ledger } = await run()
  expect(traffic.violations.kept).toEqual([])
  expect(traffic.requests).toEqual({ total: expect.any(Number) as number, failed: 0, retried: 0, unknown: 0 })
  expect(traffic.requests.total).toBeGreaterThan(3_900)
  expect(ledger.counts.created).toBe(1_000)
  expect(ledger.counts.updated).toBeGreaterThan(500)
  expect(ledger.counts.deleted).toBeGreaterThan(100)
})

const harms: readonly { when: string; harm: Harm; also?: readonly Harm[]; spoil: Spoil }[] = [
  {
    when: 'a job vanishes after its create was acknowledged',
    harm: 'lost',
    spoil: once(
      (m, p) => m === 'POST' && p === '/jobs',
      10,
      async () => ({ status: 201, body: {} }),
    ),
  },
  {
    when: 'every tenth update is acknowledged and not done',
    harm: 'stale',
    // The next update shows the gap in the count; an acknowledged update of an expired job is a wonder of its own.
    also: ['different', 'resurrected'],
    spoil: (() => {
      let seen = 0
      const done: Answer = { status: 200, body: {} }
      return (_app, method, path, _body, honest) =>
        method === 'PATCH' && isJob(path) && ++seen % 10 === 0 ? Promise.resolve(done) : honest()
    })(),
  },
  {
    when: 'an update is done twice',
    harm: 'different',
    spoil: once(
      (m, p) => m === 'PATCH' && isJob(p),
      10,
      async (_app, _m, _p, _b, honest) => {
        await honest()
        return honest()
      },
    ),
  },
  {
    when: 'a deleted job stays readable',
    harm: 'resurrected',
    spoil: once(
      (m, p) => m === 'DELETE' && isJob(p),
      3,
      async () => ({ status: 204, body: undefined }),
    ),
  },
  {
    when: 'an expired job stays readable',
    harm: 'resurrected',
    spoil: (app, method, _path, body, honest) => {
      if (method === 'POST' && typeof body === 'object') delete (body as { expiresAt?: number }).expiresAt
      return honest()
    },
  },
  {
    when: 'another workspace can read a job',
    harm: 'leaked',
    spoil: async (app, method, path, _body, honest) => {
      const answer = await honest()
      const job = app.jobs.get(path.split('/')[4] ?? '')
      return method === 'GET' && job !== undefined && job.workspace !== path.split('/')[2]
        ? { status: 200, body: job }
        : answer
    },
  },
  {
    when: 'a list shows a job of another workspace',
    harm: 'leaked',
    spoil: async (app, _method, path, _body, honest) => {
      const job = [...app.jobs][0]
      if (path.split('/').length !== 4 || job === undefined) return honest()
      return {
        status: 200,
        body: { jobs: [{ job: job[0], workspace: job[1].workspace === 'w-01' ? 'w-02' : 'w-01' }] },
      }
    },
  },
]

it.each(harms)('counts $harm when $when', async ({ harm, also = [], spoil }) => {
  const { traffic } = await run(spoil)
  expect(traffic.violations.counts[harm]).toBeGreaterThan(0)
  const others = HARMS.filter((h) => h !== harm && !also.includes(h) && traffic.violations.counts[h] > 0)
  expect(others).toEqual([])
})

it('counts an error answer as failed, and keeps what it said', async () => {
  const { traffic } = await run(
    once(
      (m) => m === 'GET',
      5,
      async () => ({ status: 503, body: { error: 'NotReady' } }),
    ),
  )
  expect(traffic.requests.failed).toBe(1)
  expect(traffic.failures[0]).toContain('NotReady')
  expect(traffic.violations.total).toBe(0)
})

const cut = (): never => {
  throw new NoAnswer('connection reset', true)
}
const cuts: readonly { when: string; matches: (method: string, path: string) => boolean }[] = [
  { when: 'a create', matches: (m) => m === 'POST' },
  { when: 'an update', matches: (m, p) => m === 'PATCH' && isJob(p) },
  { when: 'a delete', matches: (m, p) => m === 'DELETE' && isJob(p) },
  { when: 'an expiry', matches: (m) => m === 'PUT' },
]

it.each(cuts.flatMap((c) => [true, false].map((happened) => ({ ...c, happened }))))(
  'accepts that $when without an answer happened: $happened',
  async ({ matches, happened }) => {
    const spoil = once(matches, 10, async (_app, _m, _p, _b, honest) => {
      if (happened) await honest()
      return cut()
    })
    const { traffic } = await run(spoil)
    expect(traffic.requests).toMatchObject({ failed: 0, retried: 0, unknown: 1 })
    expect(traffic.violations.kept).toEqual([])
  },
)

it('takes the word of the app that it does not know the outcome of a write, never of a read', async () => {
  const unknown: Answer = { status: 504, body: { error: 'UNKNOWN_OUTCOME', outcome: 'unknown' } }
  const written = await run(
    once(
      (m, p) => m === 'PATCH' && isJob(p),
      10,
      () => Promise.resolve(unknown),
    ),
  )
  expect(written.traffic.requests).toMatchObject({ failed: 0, unknown: 1 })
  const read = await run(
    once(
      (m) => m === 'GET',
      10,
      () => Promise.resolve(unknown),
    ),
  )
  expect(read.traffic.requests).toMatchObject({ failed: 1, unknown: 0 })
})

it('sends a request that reached no pod again, and a read that was cut, and counts each once', async () => {
  const refused = once(
    (m) => m === 'POST',
    10,
    () => Promise.reject(new NoAnswer('connection refused', false)),
  )
  expect((await run(refused)).traffic.requests).toMatchObject({ failed: 0, retried: 1, unknown: 0 })
  expect((await run(once((m) => m === 'GET', 10, cut))).traffic.requests).toMatchObject({ retried: 1, unknown: 0 })
})

describe('what a read has shown of a write without an answer binds every later one', () => {
  const [workspace, id] = ['w-01', 'a']
  const scene = () => {
    const app = new FakeApp()
    const honest = app.send.bind(app)
    const ledger = new Ledger('jobs')
    const entry = ledger.add({ id, workspace, seeded: true, queued: false, expiresAt: undefined })
    app.jobs.set(id, { workspace, fields: hashFields(workspace, id, 0) })
    // One job: every request is about it, and the first of the verb is cut once it was done.
    const traffic = new Traffic({ api: app, ledger, rate: 0, now: () => app.now })
    const until = async (done: () => boolean): Promise<void> => {
      for (let i = 0; i < 4_000 && !done(); i++) {
        traffic.step()
        await traffic.stop()
      }
    }
    return { app, honest, entry, traffic, until }
  }

  it('an update: the version seen never goes back', async () => {
    const { app, honest, entry, traffic, until } = scene()
    app.send = async (m, p, b) => {
      if (m === 'POST' || (m !== 'GET' && m !== 'PATCH')) return { status: 404, body: {} }
      const answer = await honest(m, p, b)
      return m === 'PATCH' && p.endsWith('/a') && p.includes(workspace) ? cut() : answer
    }
    await until(() => entry.issued === 1 && entry.acked === 1)
    expect(entry).toMatchObject({ issued: 1, acked: 1 })
    app.jobs.set(id, { workspace, fields: hashFields(workspace, id, 0) })
    await until(() => traffic.violations.counts.stale > 0)
    expect(traffic.violations.counts.stale).toBe(1)
  })

  it('a delete: the job seen gone stays gone', async () => {
    const { app, honest, entry, traffic, until } = scene()
    app.send = async (m, p, b) => {
      if (m === 'POST') return { status: 404, body: {} }
      const answer = await honest(m, p, b)
      return m === 'DELETE' && p.includes(workspace) ? cut() : answer
    }
    await until(() => entry.state === 'deleted')
    expect(entry).toMatchObject({ state: 'deleted', unknown: undefined })
    app.jobs.set(id, { workspace, fields: hashFields(workspace, id, 0) })
    await until(() => traffic.violations.counts.resurrected > 0)
    expect(traffic.violations.counts.resurrected).toBe(1)
  })
})

it('does not judge a job by an update that got no answer', async () => {
  const { traffic } = await run(
    once(
      (m, p) => m === 'PATCH' && isJob(p),
      10,
      async (_app, _m, _p, _b, honest) => {
        await honest()
        throw new NoAnswer('connection reset', true)
      },
    ),
  )
  expect(traffic.requests).toMatchObject({ failed: 0, unknown: 1 })
  expect(traffic.violations.kept).toEqual([])
})

it('lets a read that overlaps the create of its job find nothing', async () => {
  const app = new FakeApp()
  const honest = app.send.bind(app)
  const [creates, reads]: (() => void)[][] = [[], []]
  const release = async (held: (() => void)[] = []): Promise<void> => {
    for (const go of held.splice(0)) go()
    await new Promise((resolve) => setImmediate(resolve))
  }
  // A read looks before the creates of its round are done, and its answer arrives after theirs.
  app.send = async (method, path, body) => {
    if (method === 'POST') await new Promise<void>((go) => creates?.push(go))
    const answer = await honest(method, path, body)
    if (method === 'GET') await new Promise<void>((go) => reads?.push(go))
    return answer
  }
  const traffic = new Traffic({ api: app, ledger: new Ledger('jobs'), rate: 0, now: () => app.now })
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < 20; i++) traffic.step()
    await release()
    await release(creates)
    await release(reads)
    await traffic.stop()
  }
  expect(traffic.violations.kept).toEqual([])
  expect(traffic.requests.total).toBeGreaterThan(1_900)
})
