import { z } from 'zod'
import { StatusSchema } from '../../../src/api/status.ts'
import { SpecSchema } from '../../../src/api/schema.ts'
import { KubeError } from '../../../src/kube/errors.ts'
import { compareCrd, CrdReader } from '../../../src/operator/crd.ts'
import { FakeClock } from '../runtime/fake-clock.ts'

const fails = (status: number) => () =>
  Promise.reject(new KubeError({ status, reason: 'x', message: `status ${status}` }))
const signal = new AbortController().signal
let clock: FakeClock
beforeEach(() => (clock = new FakeClock()))

describe('the installed CRD', () => {
  const schema = (type: z.ZodType) =>
    z.toJSONSchema(type, { io: 'input', target: 'draft-7' }) as { properties: Record<string, object> }
  const crd = (
    change: (properties: { spec: ReturnType<typeof schema>; status: ReturnType<typeof schema> }) => void = () =>
      undefined,
  ) => {
    const properties = { spec: schema(SpecSchema), status: schema(StatusSchema) }
    change(properties)
    return { metadata: {}, spec: { versions: [{ name: 'v1alpha1', schema: { openAPIV3Schema: { properties } } }] } }
  }

  it('made from the same source is current', () => {
    expect(compareCrd(crd())).toEqual({ state: 'current' })
  })

  it('with more than this version knows is current', () => {
    expect(compareCrd(crd(({ spec }) => void (spec.properties['tls'] = {})))).toEqual({ state: 'current' })
  })

  it('that lacks a field, however deep, is outdated and says which (H1)', () => {
    expect(compareCrd(crd(({ status }) => delete status.properties['epoch']))).toEqual({
      state: 'outdated',
      missing: ['status.epoch'],
    })
    const deep = crd(({ spec }) => {
      const slo = spec.properties['slo'] as { properties: { checks: { items: { properties: object } } } }
      delete (slo.properties.checks.items.properties as Record<string, unknown>)['onNoData']
    })
    expect(compareCrd(deep)).toEqual({ state: 'outdated', missing: ['spec.slo.checks[].onNoData'] })
  })

  it('is asked for once a minute; absent and unreadable are answers', async () => {
    let asked = 0
    const reader = new CrdReader({ get: (() => ((asked += 1), Promise.resolve(crd()))) as never }, clock)
    await reader.read(signal)
    await reader.read(signal)
    expect(asked).toBe(1)
    await clock.advance(60_000)
    await reader.read(signal)
    expect(asked).toBe(2)
    expect(await new CrdReader({ get: fails(404) }, clock).read(signal)).toEqual({ state: 'absent' })
    expect(await new CrdReader({ get: fails(403) }, clock).read(signal)).toEqual({ state: 'unknown' })
    await expect(new CrdReader({ get: fails(500) }, clock).read(signal)).rejects.toThrow()
  })
})
