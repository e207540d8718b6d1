import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { InvalidId } from '../../../src/client/errors.ts'
import { Routing } from '../../../src/client/routing.ts'
import { makeDocument, type RoutingDocument } from '../../../src/protocol/document.ts'
import { routingState, type Phase } from '../../../src/protocol/phases.ts'
import { queueEntry } from '../../../src/protocol/queue-entry.ts'
import { parseTemplates } from '../../../src/protocol/templates.ts'

const LEGACY = 'ai:job:{job_id}'
const TARGET = 'ai:job:{workspace_id}:{job_id}'
const templates = parseTemplates(LEGACY, TARGET)
const doc = (phase: Phase, percent: number, canaryBy: 'Job' | 'Workspace' = 'Job'): RoutingDocument =>
  makeDocument(
    { name: 'm', canaryBy, legacy: LEGACY, target: TARGET, workspaceField: 'workspace_id', queues: [] },
    routingState(phase, 0, percent),
    5,
  )
const ids = Array.from({ length: 1000 }, (_, i) => `j${i}`)
const share = (routing: Routing, what: (r: ReturnType<Routing['route']>) => boolean): number =>
  ids.filter((id) => what(routing.route('w1', id))).length / ids.length

describe('routing', () => {
  test.each([
    ['Legacy', 100, 0, 0],
    ['DualWrite', 10, 0.1, 0],
    ['DualWrite', 50, 0.5, 0],
    ['DualWrite', 100, 1, 0],
    ['ReadRouting', 50, 1, 0.5],
    ['BackfillVerify', 0, 1, 1],
  ] as const)('%s at %d %%: %d of creates and %d of reads on target', (phase, percent, creates, reads) => {
    const routing = new Routing(templates, doc(phase, percent))
    expect(share(routing, (r) => r.createTarget)).toBeCloseTo(creates, 1)
    expect(share(routing, (r) => r.order === 'TL')).toBeCloseTo(reads, 1)
    expect(routing.route('w1', 'j1').order === 'L').toBe(phase === 'Legacy' || phase === 'DualWrite')
  })

  test('a canary by workspace takes all jobs of a workspace or none', () => {
    const routing = new Routing(templates, doc('DualWrite', 50, 'Workspace'))
    for (const w of ['w1', 'w2', 'w3', 'w4']) {
      const selected = new Set(ids.map((id) => routing.route(w, id).createTarget))
      expect(selected.size).toBe(1)
    }
  })

  test('unmanaged is Legacy of epoch 0', () => {
    const routing = new Routing(templates)
    expect(routing).toMatchObject({ epoch: 0, hash: '', phase: 'Legacy', name: '' })
    expect(routing.route('w1', 'j1')).toEqual({
      legacyKey: 'ai:job:j1',
      targetKey: 'ai:job:j1',
      order: 'L',
      createTarget: false,
      names: 'parted',
    })
  })

  // Ids made of what keys, globs and texts are delimited with.
  const nasty = fc.string({
    unit: fc.constantFrom(
      ...': { } * ? [ ] \\ NUL a b w j 1'.split(' ').map((c) => (c === 'NUL' ? '\0' : c)),
      '\ud800',
      'é',
    ),
    maxLength: 4,
  })

  test('K12 from phase 1 on no two different (workspace, job) give one key, entry or operation', () => {
    const routing = new Routing(templates, doc('BackfillVerify', 100))
    const strings = (w: string, j: string): string[] | undefined => {
      try {
        const route = routing.route(w, j)
        return [route.targetKey, queueEntry(templates, 'BackfillVerify', w, j)]
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidId)
        return undefined
      }
    }
    fc.assert(
      fc.property(nasty, nasty, nasty, nasty, (w1, j1, w2, j2) => {
        const [a, b] = [strings(w1, j1), strings(w2, j2)]
        if (a === undefined || b === undefined || (w1 === w2 && j1 === j2)) return
        expect(a[0]).not.toBe(b[0])
        expect(a[1]).not.toBe(b[1])
        // Bytes on the wire: a lone surrogate would become U+FFFD.
        expect(Buffer.from(a[0] ?? '').equals(Buffer.from(b[0] ?? ''))).toBe(false)
      }),
      { numRuns: 5000 },
    )
  })

  test('K12 in Legacy no two job ids give one key, and what no key can hold byte for byte is refused', () => {
    const routing = new Routing(templates)
    fc.assert(
      fc.property(nasty, nasty, (j1, j2) => {
        const bytes = (j: string): Buffer | undefined => {
          try {
            return Buffer.from(routing.route('w1', j).legacyKey)
          } catch {
            return undefined
          }
        }
        const [a, b] = [bytes(j1), bytes(j2)]
        if (a !== undefined && b !== undefined && j1 !== j2) expect(a.equals(b)).toBe(false)
      }),
      { numRuns: 2000 },
    )
    expect(() => routing.route('w1', '')).toThrow(InvalidId)
    expect(() => routing.route('w1', '\ud800')).toThrow(InvalidId)
    expect(routing.route('w1', 'w2:j5')).toMatchObject({ targetKey: 'ai:job:w2:j5', order: 'L' })
    expect(routing.illegalId('w1', 'w2:j5')).toBe('w2:j5')
  })
})
