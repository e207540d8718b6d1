import type { ServerResponse } from 'node:http'
import { jest } from '@jest/globals'
import type { SpecInput } from '../../../src/api/schema.ts'
import type { Status } from '../../../src/api/status.ts'
import { SECRETS } from '../../../src/kube/resources.ts'
import type { KubeObject } from '../../../src/kube/types.ts'
import { MIGRATIONS } from '../../../src/operator/resources.ts'
import {
  matrix,
  startFakePrometheus,
  vector,
  type Asked,
  type FakePrometheus,
} from '../../unit/prometheus/fake-prometheus.ts'
import { JobRunner } from './job-runner.ts'
import { App, runOperator, startWorld, START_LIMIT_MS, until, type Member, type World } from './world.ts'

jest.setTimeout(90_000)

type Answer = (response: ServerResponse, time: number, asked: Asked) => void

let world: World
const stop = new AbortController()
const helpers: Promise<unknown>[] = []
const running: { stop(): Promise<void> }[] = []
beforeAll(async () => (world = await startWorld()), START_LIMIT_MS)
afterAll(async () => {
  for (const one of running) await one.stop()
  stop.abort()
  await Promise.all(helpers)
  await world.stop()
})

const workspaces = (count: number, value: string) =>
  Array.from({ length: count }, (_, i) => [{ workspace_id: `w${i}` }, value] as const)
const values =
  (value: string, more: object = {}, count = 5): Answer =>
  (response, time) =>
    void response.end(vector(workspaces(count, value), more, time))
const GOOD = values('0')

/** An application under a fake Prometheus whose clients follow unless told not to. */
class Scene {
  readonly app: App
  readonly prometheus: FakePrometheus
  answer: Answer = GOOD
  follows = true

  private constructor(app: App, prometheus: FakePrometheus) {
    this.app = app
    this.prometheus = prometheus
    // Only instant queries misbehave: the hour that is read back at the start is empty.
    prometheus.answer((asked, response) => {
      if (asked.path.endsWith('/query')) this.answer(response, Number(asked.form.get('time')), asked)
      else response.end(matrix([]))
    })
  }

  static async start(name: string, changes: Partial<SpecInput> = {}): Promise<Scene> {
    const prometheus = await startFakePrometheus()
    running.push(prometheus)
    const app = await App.create(world, name)
    await world.redis.hset(`${name}:job:j1`, { workspace_id: 'w1' })
    running.unshift(runOperator(world, name))
    helpers.push(new JobRunner(app.client, name).run(stop.signal))
    const scene = new Scene(app, prometheus)
    await app.apply(scene.spec({ targetPhase: 'Legacy', ...changes }))
    await until(async () => (await app.document())?.epoch === 1)
    helpers.push(scene.#follow(await app.join(await app.startPod())))
    return scene
  }

  async #follow(member: Member): Promise<void> {
    while (!stop.signal.aborted) {
      if (this.follows) await member.report(await this.app.document())
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  spec(changes: Partial<SpecInput> = {}): SpecInput {
    return this.app.spec({
      redis: {
        address: `redis://127.0.0.1:${world.redisServer.port}/0`,
        assume: { maxmemory: 1_000_000_000 },
        observers: ['*'],
      },
      app: { workloads: [{ kind: 'Deployment', name: 'api' }], joinTimeout: '60s' },
      phases: {
        dualWrite: { steps: [{ percent: 50, soak: '1s' }] },
        readRouting: { steps: [{ percent: 50, soak: '1s' }] },
        backfillVerify: { soak: '1s' },
      },
      slo: this.slo(),
      ...changes,
    })
  }

  slo(changes: Partial<SpecInput['slo']> = {}, failureLimit = 0): SpecInput['slo'] {
    const checks = [{ name: 'errors', query: 'errors', max: 0.01, interval: '1s', failureLimit }]
    return { prometheus: { address: this.prometheus.url }, checks, ...changes }
  }

  async status(): Promise<Status> {
    return (await this.app.resource()).status ?? {}
  }

  async condition(type: string, reason: string): Promise<string> {
    await until(async () => (await this.app.condition(type))?.reason === reason)
    return (await this.app.condition(type))?.message ?? ''
  }

  /** The clients have a document of this state; gives its epoch. */
  async at(phase: string, createTarget: number, above = 0): Promise<number> {
    await until(async () => {
      const document = await this.app.document()
      return document?.phase === phase && document.createTarget === createTarget && document.epoch > above
    })
    return (await this.app.document())?.epoch ?? 0
  }

  reached = () => this.condition('TargetReached', 'TargetReached')

  async retry(value: string): Promise<void> {
    const annotations = { 'keyshift.dev/retry': value }
    await this.app.client.mergePatch(
      MIGRATIONS,
      { namespace: this.app.namespace, name: 'jobs' },
      { metadata: { annotations } },
    )
  }
}

describe('a Prometheus that misbehaves holds the soak, is named in words, and the soak goes on by itself', () => {
  let scene: Scene
  let epoch = 0
  beforeAll(async () => {
    scene = await Scene.start('trouble')
    const slo = scene.slo({}, 1000)
    const phases = { dualWrite: { steps: [{ percent: 50, soak: '1h' }] } }
    await scene.app.apply(scene.spec({ targetPhase: 'DualWrite', canaryPercentage: 50, phases, slo }))
    epoch = await scene.at('DualWrite', 50)
    await scene.condition('Ready', 'Soaking')
  }, 60_000)

  const status =
    (code: number, body: string, headers = {}): Answer =>
    (response) => {
      response.writeHead(code, headers)
      response.end(body)
    }
  const said = (error: string) => JSON.stringify({ status: 'error', errorType: 'internal', error })
  const table: readonly (readonly [string, Answer, string, RegExp])[] = [
    [
      '500',
      status(500, said('disk full')),
      'CheckError',
      /errors: Prometheus answers 500: internal: disk full; it is asked again/,
    ],
    ['502 of a gateway', status(502, '<h1>Bad Gateway</h1>'), 'CheckError', /answers 502: Bad Gateway/],
    [
      'HTML',
      status(200, '<title>Sign in</title>'),
      'CheckError',
      /answers with HTML \("Sign in"\): check slo.prometheus.address/,
    ],
    ['a redirect', status(302, '', { location: 'https://sso/' }), 'CheckError', /302 and points to https:\/\/sso\//],
    ['an empty body (G3)', status(200, ''), 'CheckError', /an empty body: check slo.prometheus.address/],
    [
      'half a body',
      (r, time) => r.end(vector(workspaces(5, '0'), {}, time).slice(0, 50)),
      'CheckError',
      /no Prometheus JSON/,
    ],
    [
      'a cut connection',
      (response) => response.destroy(),
      'CheckError',
      /cannot be reached: .*; check slo.prometheus.address/,
    ],
    ['a body without end', endless, 'CheckError', /longer than [0-9]+ bytes: aggregate more/],
    ['a refused query', status(400, said('parse error')), 'CheckError', /refuses the query: internal: parse error/],
    [
      'a warning (G3)',
      values('0', { warnings: ['store a is away'] }),
      'CheckInconclusive',
      /warns that its answer may not be whole: store a/,
    ],
    [
      'a warning and a value too high (G3)',
      values('1', { warnings: ['store b is away'] }),
      'CheckInconclusive',
      /store b/,
    ],
    ['NaN', values('NaN'), 'CheckInconclusive', /5 of 5 values NaN .*leave idle elements out/],
    ['no series', values('0', {}, 0), 'CheckInconclusive', /5 of the elements .* missing together: w0, w1/],
    [
      'stale samples',
      (r, time) => r.end(vector(workspaces(5, '0'), {}, time - 120)),
      'CheckInconclusive',
      /the answer is 120 s old/,
    ],
    [
      'half of the workspaces (G3)',
      values('0', {}, 3),
      'CheckInconclusive',
      /2 of the elements .* missing together: w3, w4/,
    ],
    [
      'failures in "other" (G5)',
      (r, time) => r.end(vector([...workspaces(5, '0'), [{ workspace_id: 'other' }, '0.002']], {}, time)),
      'CheckInconclusive',
      /"other" stands for all workspaces/,
    ],
  ]
  it.each(table)('%s', async (_, answer, reason, message) => {
    scene.answer = answer
    expect(await scene.condition('SLOHealthy', reason)).toMatch(message)
    const waiting = await scene.condition('Ready', reason)
    expect(waiting).toMatch(/the soak is held up/)
    expect(waiting).toMatch(message)
    const held = await scene.status()
    expect(held.soakEndsAt).toBeUndefined()
    scene.answer = GOOD
    await scene.condition('Ready', 'Soaking')
    const { soakEndsAt, failed, epoch: now } = await scene.status()
    expect(Date.parse(soakEndsAt ?? '')).toBeGreaterThan(Date.now())
    expect(failed).toBeUndefined()
    expect(now).toBe(epoch)
  })

  it('429 with Retry-After is left alone for so long', async () => {
    const at: number[] = []
    scene.answer = (response, time, asked) => {
      at.push(Date.now())
      if (at.length > 1) GOOD(response, time, asked)
      else status(429, 'slow down', { 'retry-after': '3' })(response, time, asked)
    }
    expect(await scene.condition('SLOHealthy', 'CheckError')).toMatch(/answers 429: slow down/)
    await until(() => at.length > 1)
    const [refused = 0, next = 0] = at
    expect(next - refused).toBeGreaterThanOrEqual(2900)
    await scene.condition('Ready', 'Soaking')
  })

  it('remarks on a query hold nothing (G3)', async () => {
    const asked = scene.prometheus.asked.length
    scene.answer = values('0', { infos: ['metric might not be a counter'] })
    await until(() => scene.prometheus.asked.length > asked + 3)
    expect(await scene.condition('SLOHealthy', 'ChecksPass')).toBe('1 check passed')
  })

  it('infinity is a failure and no doubt', async () => {
    scene.answer = values('+Inf')
    expect(await scene.condition('SLOHealthy', 'CheckFailing')).toMatch(/Infinity of .* is above max/)
    scene.answer = GOOD
    await scene.condition('Ready', 'Soaking')
  })

  it('every query asked for a whole answer (G3)', () => {
    const asked = scene.prometheus.asked.map(({ form }) => form.get('partial_response'))
    expect(new Set(asked)).toEqual(new Set(['false']))
  })

  it('a refused token is named by its Secret and holds; a rotated one costs nothing (O2)', async () => {
    let valid = 'first'
    scene.answer = (response, time, { headers }) => {
      const right = headers.authorization === `Bearer ${valid}`
      if (!right) response.writeHead(401)
      response.end(right ? vector(workspaces(5, '0'), {}, time) : '')
    }
    const put = (token: string) =>
      scene.app.client.apply(
        SECRETS,
        { metadata: { name: 'prom', namespace: 'trouble' }, stringData: { token } } as KubeObject,
        { fieldManager: 'test', force: true },
      )
    await put('first')
    const prometheus = { address: scene.prometheus.url, bearerTokenSecretRef: { name: 'prom', key: 'token' } }
    const phases = { dualWrite: { steps: [{ percent: 50, soak: '1h' }] } }
    const slo = scene.slo({ prometheus }, 1000)
    await scene.app.apply(scene.spec({ targetPhase: 'DualWrite', canaryPercentage: 50, phases, slo }))
    const authorized = () => scene.prometheus.asked.at(-1)?.headers.authorization
    await until(() => authorized() === 'Bearer first')
    await scene.condition('Ready', 'Soaking')
    // From here on whoever looks sees Pass: the old token is tried once, refused, and the new one read at once.
    const { soakEndsAt } = await scene.status()
    await put('second')
    valid = 'second'
    await until(() => authorized() === 'Bearer second')
    await until(
      () => scene.prometheus.asked.filter(({ headers }) => headers.authorization === 'Bearer second').length > 2,
    )
    expect((await scene.status()).soakEndsAt).toBe(soakEndsAt)
    valid = 'third'
    const message = await scene.condition('SLOHealthy', 'CheckError')
    expect(message).toMatch(
      /401: it refuses the bearer token of Secret prom, key "token", in namespace trouble: put a valid/,
    )
    expect((await scene.status()).failed).toBeUndefined()
    await put('third')
    await scene.condition('Ready', 'Soaking')
  })
})

describe('a breach goes where the design says, and latches', () => {
  let scene: Scene
  beforeAll(async () => (scene = await Scene.start('breach')), 60_000)

  const BREACH = values('0.5')
  /** Breaks the check until it has failed, and mends it. */
  async function breach(): Promise<NonNullable<Status['failed']>> {
    const before = (await scene.status()).failed
    scene.answer = BREACH
    await until(async () => {
      const { failed } = await scene.status()
      return failed !== undefined && failed.at !== before?.at
    })
    scene.answer = GOOD
    const { failed } = await scene.status()
    if (failed === undefined) throw new Error('answered already')
    return failed
  }
  /** Something else in the spec changes: it is no answer. */
  async function staysLatched(changes: Partial<SpecInput>): Promise<void> {
    const { failed, epoch } = await scene.status()
    const slo = { ...scene.slo({}, 5), ...changes.slo }
    await scene.app.apply(scene.spec({ ...changes, slo }))
    await until(async () => {
      const { metadata, status } = await scene.app.resource()
      return status?.observedGeneration === metadata.generation
    })
    await scene.condition('SLOHealthy', 'ChecksPass')
    await scene.condition('Stalled', 'CheckFailed')
    expect((await scene.status()).awaits).toMatch(/keyshift.dev\/retry/)
    expect(await scene.status()).toMatchObject({ failed, epoch })
    await scene.app.apply(scene.spec(changes))
  }
  const dualWrite = { targetPhase: 'DualWrite', canaryPercentage: 50 } as const

  it('in DualWrite before it has converged: the step is taken back at once; a retry goes on', async () => {
    await scene.reached()
    scene.follows = false
    await scene.app.apply(scene.spec(dualWrite))
    const epoch = await scene.at('DualWrite', 50)
    expect(await breach()).toMatchObject({ phase: 'DualWrite', reason: 'CheckFailed', destination: 'Legacy' })
    await scene.at('Legacy', 0, epoch)
    expect(await scene.status()).toMatchObject({ phase: 'Legacy', epoch: epoch + 1, isAbort: true })
    scene.follows = true
    await staysLatched(dualWrite)
    await scene.retry('1')
    await scene.at('DualWrite', 50, epoch)
    await scene.reached()
  })

  it('in DualWrite after it has converged: back to Legacy; another canaryPercentage goes on', async () => {
    const { epoch = 0 } = await scene.status()
    expect(await breach()).toMatchObject({ phase: 'DualWrite', destination: 'Legacy', retry: '1' })
    await scene.at('Legacy', 0, epoch)
    await staysLatched(dualWrite)
    await scene.app.apply(scene.spec({ ...dualWrite, canaryPercentage: 40 }))
    await scene.at('DualWrite', 40, epoch)
    await scene.reached()
  })

  it('in ReadRouting: back to DualWrite with 100 % of creates; another targetPhase goes on', async () => {
    await scene.app.apply(scene.spec({ targetPhase: 'ReadRouting' }))
    await scene.at('ReadRouting', 100)
    await scene.reached()
    const { epoch = 0 } = await scene.status()
    expect(await breach()).toMatchObject({ phase: 'ReadRouting', destination: 'DualWrite' })
    await scene.at('DualWrite', 100, epoch)
    expect((await scene.app.document())?.readTarget).toBe(0)
    await staysLatched({ targetPhase: 'ReadRouting' })
    await scene.app.apply(scene.spec({ targetPhase: 'BackfillVerify' }))
    await scene.at('BackfillVerify', 100, epoch)
    await scene.reached()
  })

  it('in BackfillVerify under onFailure Pause: holds there; Rollback afterwards is no answer', async () => {
    const { epoch } = await scene.status()
    const paused = { targetPhase: 'BackfillVerify', slo: scene.slo({ onFailure: 'Pause' }) } as const
    await scene.app.apply(scene.spec(paused))
    expect(await breach()).toMatchObject({ phase: 'BackfillVerify', destination: 'BackfillVerify' })
    expect((await scene.status()).epoch).toBe(epoch)
    await staysLatched({ targetPhase: 'BackfillVerify' })
    await scene.retry('2')
    await until(async () => (await scene.status()).failed === undefined)
    await scene.reached()
  })

  it('in BackfillVerify while paused: latches and holds, and goes back to DualWrite when it may', async () => {
    const { epoch = 0 } = await scene.status()
    const target = { targetPhase: 'BackfillVerify' } as const
    await scene.app.apply(scene.spec({ ...target, paused: true }))
    await scene.condition('Paused', 'Paused')
    expect(await breach()).toMatchObject({ phase: 'BackfillVerify', destination: 'DualWrite' })
    expect(await scene.condition('Ready', 'Paused')).toMatch(
      /ReadRouting 100 % is next: check errors failed more than 0 times/,
    )
    expect((await scene.status()).epoch).toBe(epoch)
    await scene.app.apply(scene.spec(target))
    await scene.at('DualWrite', 100, epoch + 1)
    await scene.condition('Stalled', 'CheckFailed')
  })
})

/** More than the client reads, without an end. */
function endless(response: ServerResponse): void {
  const chunk = ' '.repeat(1 << 20)
  const more = (): void => {
    while (!response.destroyed && response.write(chunk)) continue
  }
  response.on('drain', more)
  more()
}
