import { NoAnswer, type Answer } from '../../../demo/http-api.ts'
import { Ledger } from '../../../demo/ledger.ts'
import { Traffic } from '../../../demo/traffic.ts'
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
  expect(traffic.requests).toEqual({ total: expect.any(Number) as number, failed: 0, unanswered: 0 })
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

it('does not judge a job by its contents after a write that got no answer', async () => {
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
  expect(traffic.requests).toMatchObject({ failed: 0, unanswered: 1 })
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
