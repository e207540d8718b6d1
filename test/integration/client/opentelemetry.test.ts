import { AsyncLocalStorage } from 'node:async_hooks'
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals'
import * as api from '@opentelemetry/api'
import { trace } from '../../../examples/opentelemetry/trace.ts'
import { documentOf } from './support/routing.ts'
import { World } from './support/world.ts'

jest.setTimeout(30_000)

/** A span as an exporter would get it. */
interface Recorded {
  readonly name: string
  readonly kind: api.SpanKind | undefined
  readonly parent: string | undefined
  attributes: api.Attributes
  status: api.SpanStatus | undefined
  ends: number
}
const spans: Recorded[] = []
const current = new AsyncLocalStorage<api.Context>()
const span = (name: string, { kind, attributes }: api.SpanOptions = {}, within = api.context.active()) => {
  const told: Recorded = {
    name,
    kind,
    parent: api.trace.getSpanContext(within)?.spanId,
    attributes: { ...attributes },
    status: undefined,
    ends: 0,
  }
  spans.push(told)
  const none = api.trace.wrapSpanContext({ traceId: 'f'.repeat(32), spanId: String(spans.length), traceFlags: 1 })
  return Object.assign(none, {
    setAttributes: (more: api.Attributes) => (Object.assign(told.attributes, more), none),
    setStatus: (status: api.SpanStatus) => ((told.status = status), none),
    end: () => void (told.ends += 1),
  })
}

let world: World
beforeAll(async () => {
  const unused = (): never => {
    throw new Error('not used here')
  }
  api.trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan: span, startActiveSpan: unused }) })
  api.context.setGlobalContextManager({
    active: () => current.getStore() ?? api.ROOT_CONTEXT,
    with: (context, fn, self, ...args) => current.run(context, () => fn.call(self as never, ...args)),
    bind: (_, target) => target,
    enable: unused,
    disable: unused,
  })
  world = await World.start()
  await world.settle(documentOf(5, 'BackfillVerify'))
})
afterAll(() => world.stop())

test('the example of the docs makes one client span for each operation, below the span that is active', async () => {
  const client = world.client('hash', { trace })
  const jobs = client.forWorkspace('w1')
  await client.ready()
  await api.context.with(api.trace.setSpan(api.context.active(), span('request')), async () => {
    await jobs.create('j1', { status: 'new' })
    await jobs.update('j1', { status: 'done' }, { expect: { status: 'running' } }).catch(() => undefined)
  })
  await jobs.get('a:b').catch(() => undefined)
  await client.queue('ai:queue').dequeue()
  const keyshift = (outcome: string): object => ({ 'keyshift.outcome': outcome, 'keyshift.epoch': 5, 'keyshift.retries': 0 }) // prettier-ignore
  const inW1 = { 'keyshift.workspace_id': 'w1' }
  const client1 = { kind: api.SpanKind.CLIENT, parent: undefined, status: undefined, ends: 1 }
  expect(spans.slice(1)).toEqual([
    { ...client1, name: 'keyshift create', parent: '1', attributes: { ...inW1, ...keyshift('OK') } },
    { ...client1, name: 'keyshift update', parent: '1', attributes: { ...inW1, ...keyshift('CONFLICT') } },
    {
      ...client1,
      name: 'keyshift get',
      attributes: { ...inW1, ...keyshift('INVALID_ID') },
      status: { code: api.SpanStatusCode.ERROR, message: 'INVALID_ID' },
    },
    { ...client1, name: 'keyshift reap', attributes: keyshift('OK') },
    { ...client1, name: 'keyshift dequeue', attributes: {}, ends: 0 },
  ])
})
