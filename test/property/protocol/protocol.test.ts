import fc from 'fast-check'
import { bucketOf, isSelected } from '../../../src/protocol/bucket.ts'
import { canonicalJson, makeDocument, parseDocument, renderDocument } from '../../../src/protocol/document.ts'
import { PHASES, routingState } from '../../../src/protocol/phases.ts'
import { queueEntry, readQueueEntry } from '../../../src/protocol/queue-entry.ts'
import {
  checkId,
  classifyKey,
  legacyKey,
  parseTemplates,
  scanPattern,
  targetKey,
  TemplateError,
  type KeyTemplates,
} from '../../../src/protocol/templates.ts'

/** Characters that others have taken for something else. */
const odd = fc.constantFrom(':', '{', '}', '*', '?', '[', ']', '\\', '\0', ' ', '/', '.', 'é', '😀', 'a', '1', 'w', 'j')
const id = fc.oneof(
  fc.array(odd, { maxLength: 6 }).map((chars) => chars.join('')),
  fc.string({ maxLength: 8 }),
)

const literal = fc.array(fc.constantFrom('a', 'b', ':', '/', '-', '.'), { maxLength: 3 }).map((chars) => chars.join(''))
/** Pairs of templates that are accepted. */
const templates: fc.Arbitrary<KeyTemplates> = fc
  .tuple(literal, literal, literal, literal, literal, fc.boolean())
  .map(([legacyStart, legacyEnd, targetStart, delimiter, targetEnd, workspaceFirst]) => {
    const [first, second] = workspaceFirst ? ['{w}', '{job_id}'] : ['{job_id}', '{w}']
    try {
      return parseTemplates(
        `${legacyStart}{job_id}${legacyEnd}`,
        `${targetStart}${first}${delimiter}${second}${targetEnd}`,
      )
    } catch (error) {
      if (error instanceof TemplateError) return undefined
      throw error
    }
  })
  .filter((pair) => pair !== undefined)

function good(t: KeyTemplates, ...ids: string[]): boolean {
  return ids.every((one) => checkId(t, one) === undefined)
}

/** Redis globs, as far as `scanPattern` writes them. */
function matches(pattern: string, key: string): boolean {
  return key.startsWith(pattern.slice(0, -1).replace(/\\(.)/gs, '$1'))
}

describe('keys', () => {
  test('K12: two different jobs never have one key, in either schema or across them', () => {
    fc.assert(
      fc.property(templates, id, id, id, id, (t, w1, j1, w2, j2) => {
        fc.pre(good(t, w1, j1, w2, j2))
        const one = [`legacy ${j1}`, legacyKey(t, j1)] as const
        const all = [
          one,
          [`legacy ${j2}`, legacyKey(t, j2)] as const,
          [canonicalJson([w1, j1]), targetKey(t, w1, j1)] as const,
          [canonicalJson([w2, j2]), targetKey(t, w2, j2)] as const,
        ]
        for (const [whoA, keyA] of all) for (const [whoB, keyB] of all) expect(keyA === keyB).toBe(whoA === whoB)
      }),
    )
  })

  test('every key reads back as what it was built from, and is scanned', () => {
    fc.assert(
      fc.property(templates, id, id, (t, w, j) => {
        fc.pre(good(t, w, j))
        expect(classifyKey(t, targetKey(t, w, j))).toEqual({ kind: 'target', workspaceId: w, jobId: j })
        expect(classifyKey(t, legacyKey(t, j))).toEqual({ kind: 'legacy', jobId: j })
        expect(matches(scanPattern(t), targetKey(t, w, j))).toBe(true)
        expect(matches(scanPattern(t), legacyKey(t, j))).toBe(true)
      }),
    )
  })

  test('whatever a name is read as, it is built from again', () => {
    fc.assert(
      fc.property(templates, id, (t, text) => {
        const key = `${t.target.literals[0] ?? ''}${text}${t.target.literals[2] ?? ''}`
        const read = classifyKey(t, key)
        if (read.kind === 'target') expect(targetKey(t, read.workspaceId, read.jobId)).toBe(key)
        if (read.kind === 'legacy') expect(legacyKey(t, read.jobId)).toBe(key)
      }),
    )
  })
})

describe('queue entries', () => {
  test('K12: two different jobs never have one entry, and each reads back', () => {
    fc.assert(
      fc.property(templates, id, id, id, id, (t, w1, j1, w2, j2) => {
        fc.pre(good(t, w1, j1, w2, j2))
        const pair = queueEntry(t, 'ReadRouting', w1, j1)
        expect(pair === queueEntry(t, 'ReadRouting', w2, j2)).toBe(w1 === w2 && j1 === j2)
        expect(pair).not.toBe(queueEntry(t, 'Legacy', w2, j2))
        expect(readQueueEntry(t, queueEntry(t, 'DualWrite', w1, j1))).toEqual({ form: 'job', jobId: j1 })
      }),
    )
  })

  test('a pair reads back as the pair, whatever the delimiter', () => {
    fc.assert(
      fc.property(templates, id, id, (t, w, j) => {
        fc.pre(good(t, w, j))
        expect(readQueueEntry(t, queueEntry(t, 'BackfillVerify', w, j))).toEqual({
          form: 'pair',
          workspaceId: w,
          jobId: j,
        })
      }),
    )
  })
})

describe('the bucket', () => {
  test('never loses a job when the percentage rises', () => {
    const percent = fc.integer({ min: 0, max: 100 })
    fc.assert(
      fc.property(fc.string(), fc.string(), percent, percent, (name, job, a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)]
        if (isSelected(name, job, low)) expect(isSelected(name, job, high)).toBe(true)
        expect(isSelected(name, job, a)).toBe(bucketOf(name, job) < a * 100)
      }),
    )
  })

  test('spreads jobs evenly', () => {
    const selected = Array.from({ length: 10_000 }, (_, i) => isSelected('ai-jobs', `job-${i}`, 10)).filter(
      Boolean,
    ).length
    expect(Math.abs(selected - 1000)).toBeLessThan(120)
  })
})

describe('the document', () => {
  const text = fc.string({ minLength: 1, maxLength: 20 })
  const input = fc.record({
    name: text,
    canaryBy: fc.constantFrom('Job' as const, 'Workspace' as const),
    workspaceField: text,
    queues: fc.array(text, { maxLength: 4 }),
  })

  test('reads back from its text, and no byte of it can change unnoticed', () => {
    fc.assert(
      fc.property(
        templates,
        input,
        fc.constantFrom(...PHASES),
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 1 }),
        fc.nat(),
        (t, rest, phase, percent, epoch, at) => {
          const doc = makeDocument(
            { ...rest, legacy: t.legacy.text, target: t.target.text },
            routingState(phase, 0, percent),
            epoch,
          )
          const rendered = renderDocument(doc)
          expect(parseDocument(rendered)).toEqual(doc)
          const digit = [...rendered.matchAll(/[0-9]/g)].map(({ index }) => index)
          const i = digit[at % digit.length] ?? 0
          const changed = rendered.slice(0, i) + String((Number(rendered[i]) + 1) % 10) + rendered.slice(i + 1)
          expect(() => parseDocument(changed)).toThrow()
        },
      ),
    )
  })
})
