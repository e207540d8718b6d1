import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { RoutingSource } from '../../../src/client/routing-source.ts'
import {
  canonicalJson,
  documentHash,
  makeDocument,
  renderDocument,
  ROUTING_FILE,
  type RoutingDocument,
} from '../../../src/protocol/document.ts'
import { routingState } from '../../../src/protocol/phases.ts'

/** Files that nobody should put in the place of a routing document: the one before stays, whole, and the reason is told. */
const input = {
  name: 'ai-jobs',
  canaryBy: 'Job',
  legacy: 'ai:job:{job_id}',
  target: 'ai:job:{workspace_id}:{job_id}',
  workspaceField: 'workspace_id',
  queues: ['ai:queue'],
} as const
const followed = makeDocument(input, routingState('DualWrite', 1, 50), 7)
const next = makeDocument(input, routingState('ReadRouting', 0, 50), 8)
const text = renderDocument(next)

let dir: string
let source: RoutingSource
let seen: RoutingDocument[]
let problem: string | undefined
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'keyshift-hostile-'))
  seen = []
  problem = undefined
  source = new RoutingSource({
    dir,
    // Nothing but what is asked for reads.
    pollMs: 2 ** 30,
    refuse: () => undefined,
    onDocument: (doc) => seen.push(doc),
    onProblem: (told) => (problem = told),
  })
  await put(renderDocument(followed))
})
afterEach(() => {
  source.close()
  rmSync(dir, { recursive: true, force: true })
})

async function put(content: string | Buffer): Promise<void> {
  writeFileSync(join(dir, ROUTING_FILE), content)
  await source.readNow()
}

/** The next document with more or other fields, its hash made to fit. */
function altered(over: Record<string, unknown>): string {
  const { hash: _hash, ...body } = { ...next, ...over }
  return canonicalJson({ ...body, hash: documentHash(body) })
}
const within = (more: string): string => text.replace('{', `{${more},`)
const deep = (n: number): string => `${'['.repeat(n)}${']'.repeat(n)}`

test('cut off after any byte it is refused; whole, it is followed', async () => {
  const bytes = Buffer.from(text)
  for (let size = 0; size < bytes.length; size += 1) {
    await put(bytes.subarray(0, size))
    expect([size, problem]).toEqual([size, 'routing document is not JSON (half-written?)'])
  }
  expect(seen).toEqual([followed])
  await put(text)
  expect([seen, problem]).toEqual([[followed, next], undefined])
})

test('with any byte of it turned into another one it is refused', async () => {
  for (let at = 0; at < text.length; at += 1) {
    const bytes = Buffer.from(text)
    bytes[at] = (bytes[at] ?? 0) ^ 1
    await put(bytes)
    expect([at, problem]).toEqual([at, expect.stringMatching(/^routing document/)])
  }
  expect(seen).toEqual([followed])
})

describe('is held on the one before, with a reason:', () => {
  test.each<[string, string | Buffer, RegExp]>([
    ['a field that stands twice, the second one fitting the hash', within('"epoch":9'), /stands twice/],
    ['a field that stands twice in escapes', within('"\\u0065poch":9'), /stands twice/],
    [
      'a field of a field that stands twice',
      altered({ later: { a: 1 } }).replace('"a":1', '"a":2,"a":1'),
      /stands twice/,
    ],
    ['the prototype as a field', within('"__proto__":{"epoch":9}'), /hash does not fit/],
    ['constructor as a field', within('"constructor":{"prototype":{"epoch":9}}'), /hash does not fit/],
    ['only a prototype', `{"__proto__":${text}}`, /routing document/],
    [
      'a number past what a double holds for its epoch',
      text.replace('"epoch":8', '"epoch":1e400'),
      /epoch must be an integer/,
    ],
    ['an epoch past 2^53', text.replace('"epoch":8', '"epoch":9007199254740993'), /epoch must be an integer/],
    ['an epoch that is negative', altered({ epoch: -8 }), /epoch must be an integer/],
    ['an epoch in a list', altered({ epoch: [8] }), /epoch must be an integer/],
    ['an epoch that is null', altered({ epoch: null }), /epoch must be an integer/],
    ['an epoch that is true', altered({ epoch: true }), /epoch must be an integer/],
    ['NaN for a share', text.replace('"readTarget":50', '"readTarget":NaN'), /not JSON/],
    ['null for a share', altered({ readTarget: null }), /readTarget must be an integer/],
    ['a share in a text', altered({ createTarget: '50' }), /createTarget must be an integer/],
    ['half a share', altered({ readTarget: 49.5 }), /readTarget must be an integer/],
    ['a share below 0', altered({ createTarget: -1 }), /createTarget must be an integer/],
    ['a phase of the prototype', altered({ phase: 'constructor' }), /unknown phase/],
    ['a phase of a later version', altered({ phase: 'NoFallback' }), /unknown phase/],
    ['a phase in a list', altered({ phase: ['DualWrite'] }), /unknown phase/],
    ['lists 100,000 deep', within(`"later":${deep(100_000)}`), /routing document/],
    ['objects 100,000 deep', within(`"later":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`), /routing document/],
    [
      'a megabyte of a field that its hash does not know',
      within(`"later":"${'x'.repeat(1_048_576)}"`),
      /hash does not fit/,
    ],
    [
      'a megabyte of fields',
      within(Array.from({ length: 60_000 }, (_, i) => `"later${i}":1`).join()),
      /hash does not fit/,
    ],
    ['a megabyte of nothing', ' '.repeat(1_048_576), /not JSON/],
    ['a megabyte of quotes', '"'.repeat(1_048_576), /not JSON/],
    ['NUL bytes, as a disk leaves them', Buffer.alloc(text.length), /not JSON/],
    [
      'bytes that are no UTF-8',
      Buffer.concat([Buffer.from(text.slice(0, -2)), Buffer.from([0xff, 0x22, 0x7d])]),
      /routing document/,
    ],
    ['a byte order mark', `\ufeff${text}`, /not JSON/],
    ['two documents', text + text, /not JSON/],
    ['templates of half a surrogate pair', altered({ legacy: 'ai:\ud800:{job_id}' }), /lone surrogate/],
    [
      'a lower epoch',
      renderDocument({ ...followed, epoch: 6, hash: documentHash({ ...followed, epoch: 6 }) }),
      /lower than 7/,
    ],
    ['the same epoch with another hash', altered({ epoch: 7 }), /epoch 7 came twice/],
  ])('%s', async (_, content, reason) => {
    await put(content)
    expect(problem).toMatch(reason)
    expect((problem ?? '').length).toBeLessThan(300)
    expect(seen).toEqual([followed])
    await put(text)
    expect([seen, problem]).toEqual([[followed, next], undefined])
  })
})

test.each<[string, string]>([
  ['spaces and line ends', `\n${text.replaceAll(',"', ' ,\n "')}\n`],
  ['a megabyte in a field that is not known', altered({ later: 'x'.repeat(1_048_576) })],
  ['a field that is not known, 2,000 deep', altered({ later: JSON.parse(deep(2000)) as unknown })],
  ['colons, braces and quotes in texts', altered({ later: '"epoch":9,{"epoch"\\":[' })],
])('with %s it is the document that it says, and followed', async (_, content) => {
  await put(content)
  expect(problem).toBeUndefined()
  expect(seen.map(({ epoch }) => epoch)).toEqual([7, 8])
  expect(({} as { epoch?: unknown }).epoch).toBeUndefined()
})
