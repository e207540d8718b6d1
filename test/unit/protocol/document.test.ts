import {
  canonicalJson,
  documentHash,
  DocumentError,
  makeDocument,
  parseDocument,
  renderDocument,
} from '../../../src/protocol/document.ts'
import { routingState } from '../../../src/protocol/phases.ts'

const input = {
  name: 'ai-jobs',
  canaryBy: 'Job',
  legacy: 'ai:job:{job_id}',
  target: 'ai:job:{workspace_id}:{job_id}',
  workspaceField: 'workspace_id',
  queues: ['ai:queue'],
} as const
const doc = makeDocument(input, routingState('DualWrite', 1, 50), 7)

/** The document with fields changed and its hash made to fit. */
function altered(over: Record<string, unknown>): string {
  const { hash: _hash, ...body } = { ...doc, ...over }
  return canonicalJson({ ...body, hash: documentHash(body) })
}

describe('a routing document', () => {
  test('reads back as it was rendered, byte for byte', () => {
    const text = renderDocument(doc)
    expect(parseDocument(text)).toEqual(doc)
    expect(renderDocument(parseDocument(text))).toBe(text)
    expect(doc).toMatchObject({ epoch: 7, phase: 'DualWrite', step: 1, createTarget: 50, readTarget: 0, final: false })
  })

  test('has one text, whatever the order of its fields', () => {
    const turned = Object.fromEntries(Object.entries(doc).reverse()) as never
    expect(renderDocument(turned)).toBe(renderDocument(doc))
  })

  test('by workspace is read too', () => {
    expect(parseDocument(altered({ canaryBy: 'Workspace' })).canaryBy).toBe('Workspace')
  })

  test('of a later version with fields that are not known is read, and its hash covers them', () => {
    expect(parseDocument(altered({ later: [1, { b: 1, a: undefined }] })).epoch).toBe(7)
    const text = altered({ later: 1 }).replace('"later":1', '"later":2')
    expect(() => parseDocument(text)).toThrow(/hash does not fit/)
  })

  test.each<[string, string, RegExp]>([
    ['half written', renderDocument(doc).slice(0, 40), /not JSON/],
    ['a list', '[]', /not an object/],
    ['a number', '1', /not an object/],
    ['null', 'null', /not an object/],
    ['edited by hand', renderDocument(doc).replace('"createTarget":50', '"createTarget":60'), /hash does not fit/],
    ['with an unknown phase', altered({ phase: 'Sideways' }), /unknown phase/],
    ['with an unknown canary', altered({ canaryBy: 'User' }), /canaryBy/],
    ['with an epoch of 0', altered({ epoch: 0 }), /epoch must be an integer/],
    ['with a broken epoch', altered({ epoch: 1.5 }), /epoch must be an integer/],
    ['with a fraction that it does not know', altered({ later: { a: [0.5] } }), /a number is not whole/],
    [
      'with a number that no double holds',
      altered({ later: 1 }).replace('"later":1', '"later":1e400'),
      /not whole, or beyond/,
    ],
    ['with a lone surrogate', altered({ queues: ['\ud800'] }), /lone surrogate/],
    ['with a lone surrogate in a name', altered({ '\udc00': 1 }), /lone surrogate/],
    ['with an epoch in a text', altered({ epoch: '7' }), /epoch must be an integer/],
    ['with a share above 100', altered({ readTarget: 101 }), /readTarget must be an integer from 0 to 100/],
    ['without a name', altered({ name: '' }), /name must be a text/],
    ['with a name that is no text', altered({ name: 7 }), /name must be a text/],
    ['with queues that are no list', altered({ queues: 'q' }), /queues/],
    ['with an empty queue', altered({ queues: [''] }), /queues/],
    ['with a number for a queue', altered({ queues: [1] }), /queues/],
    ['without final', altered({ final: 'no' }), /final/],
    ['with templates that cannot be used', altered({ target: 'x' }), /one other placeholder/],
    ['nested without end', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, /routing document/],
    ['with the control prefix of others', altered({ controlPrefix: 'keyshift:0000000000000000:' }), /controlPrefix/],
  ])('%s is refused, so that the one before stays', (_, text, message) => {
    expect(() => parseDocument(text)).toThrow(message)
    expect(() => parseDocument(text)).toThrow(DocumentError)
  })
})

test.each<[unknown, string]>([
  [{ b: 1, a: [true, null, 'x'] }, '{"a":[true,null,"x"],"b":1}'],
  [{ a: undefined, b: { d: 1, c: 2 } }, '{"b":{"c":2,"d":1}}'],
  ['é', '"é"'],
])('canonical JSON of %j', (value, expected) => {
  expect(canonicalJson(value)).toBe(expected)
})
