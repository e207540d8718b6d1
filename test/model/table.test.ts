import { describe, expect, test } from '@jest/globals'
import { Routing } from '../../src/client/routing.ts'
import { makeDocument } from '../../src/protocol/document.ts'
import { ROUTING_TABLE } from '../../src/protocol/phases.ts'
import { parseTemplates } from '../../src/protocol/templates.ts'
import { ROWS } from './cases.ts'
import { INPUT, jobId, productRungs, routeOf } from './ladder.ts'
import { exploreProtocol, withRow } from './support.ts'

describe('the model routes as the client does', () => {
  const templates = parseTemplates(INPUT.legacy, INPUT.target)
  const cases = productRungs().flatMap((state) => [true, false].map((selected) => ({ state, selected })))
  test.each(cases)(
    '$state.phase, creates $state.createTarget %, reads $state.readTarget %, selected: $selected',
    ({ state, selected }) => {
      const route = new Routing(templates, makeDocument(INPUT, state, 2)).route('w1', jobId(selected))
      const { order, createTarget } = routeOf(state, selected)
      expect({ order, createTarget }).toEqual({ order: route.order, createTarget: route.createTarget })
    },
  )

  test('the scripts always write legacy on create, and fall back where either key is the job: so says each row', () => {
    for (const { createLegacy, existence, fallback } of Object.values(ROUTING_TABLE)) {
      expect(createLegacy).toBe(true)
      expect(fallback).toBe(existence === 'either')
    }
  })

  test('unmanaged is routed as Legacy', () => {
    const { order, createTarget } = new Routing(templates).route('w1', jobId(true))
    const legacy = routeOf(productRungs()[0] as (typeof cases)[number]['state'], true)
    expect({ order, createTarget }).toEqual({ order: legacy.order, createTarget: legacy.createTarget })
  })
})

describe('another row is another proof', () => {
  test.each(Object.entries(ROWS))('%s', (_, { phase, change, scope, violates }) => {
    withRow(phase, change, () => {
      const { counterexample, protocol, result } = exploreProtocol(scope)
      if (violates === 'never done') {
        expect(counterexample).toBe('')
        expect(result.reached((s) => protocol.operator.isDone(s))).toBe(false)
      } else expect(counterexample).toMatch(violates)
    })
    // What was changed is put back.
    expect(exploreProtocol(scope).counterexample).toBe('')
  })
})
