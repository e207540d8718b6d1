import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { headerOf } from '../../../hack/generate/protocol/lua.ts'
import { CLIENT_SCRIPTS } from '../../../hack/generate/protocol/tables.ts'
import { startBench, type Bench } from '../../../hack/generate/vectors/bench.ts'
import { VECTORS_FILE, vectorsText } from '../../../hack/generate/vectors/index.ts'
import { fromWire, toWire, type KeyState, type Span, type Wire } from '../../../hack/generate/vectors/wire.ts'

jest.setTimeout(120_000)

const ROOT = join(import.meta.dirname, '../../..')
const fileText = (name: string): string => readFileSync(join(ROOT, name), 'utf8')
const scriptText = (name: string): string => fileText(`docs/protocol-scripts/${name}.lua`)
const PAGE = fileText('docs/protocol.md')

interface Vector {
  readonly what: string
  readonly document?: string | null
  readonly operation?: { readonly name: string }
  readonly before: readonly KeyState[]
  readonly calls: readonly { readonly script: string; readonly keys: string[]; readonly argv: Wire[]; readonly answer: Wire[] }[]
  readonly after: readonly KeyState[]
} // prettier-ignore
const file = JSON.parse(fileText(VECTORS_FILE)) as { readonly operations: Vector[]; readonly scripts: Vector[] }
const VECTORS = [...file.operations, ...file.scripts]

let bench: Bench
beforeAll(async () => {
  bench = await startBench()
})
afterAll(() => bench.stop())

test('the vectors are what the code makes today (else: npm run generate)', async () => {
  const [now, then] = [await vectorsText(), fileText(VECTORS_FILE)].map((text) => text.split('\n'))
  expect(now?.find((line, i) => line !== then?.[i])).toBeUndefined()
  expect(now).toHaveLength(then?.length ?? 0)
})

/** Runs the calls of a vector from the file and the published scripts alone. */
async function replay({ before, calls }: Vector) {
  await bench.load(before)
  const times = new Map<number, string>()
  const answers: Wire[] = []
  const spans: Span[] = []
  for (const { script, keys, argv } of calls) {
    const sent = argv.map((arg) => fromWire(arg, times))
    const { reply, span } = await bench.run(scriptText(script), keys, sent)
    spans.push(span)
    const [token, ...answer] = toWire(reply, [span]) as Wire[]
    expect(token).toBe(argv[0])
    answers.push(answer)
    ;(reply as unknown[]).forEach((item, i) => {
      const wire = answer[i - 1]
      if (typeof wire === 'object' && wire !== null && 'now' in wire) times.set(wire.now, String(item))
    })
  }
  return { answers, after: await bench.state(spans) }
}

const BY_OPERATION = Map.groupBy(VECTORS, ({ operation }) => operation?.name ?? 'single call')

describe('the published scripts do what the vectors say', () => {
  test.each([...BY_OPERATION])('%s', async (_, vectors) => {
    for (const vector of vectors) {
      const { answers, after } = await replay(vector)
      const { what, document } = vector
      expect({ what, document, answers, after }).toEqual({
        what,
        document,
        answers: vector.calls.map(({ answer }) => answer),
        after: vector.after,
      })
    }
  })
})

/** Statuses that the header of a script names. */
function named(script: string): string[] {
  const lines = headerOf(join(ROOT, 'src/redis/lua'), script).contract
  const text = lines.slice(lines.findIndex((line) => line.startsWith('Answers'))).join(' ')
  return [...text.matchAll(/(?:Answers|\|)\s+([A-Z_]+)/g)].map(([, status]) => status ?? '')
}

/** Statuses that the text of a script can answer. */
function spoken(script: string): string[] {
  const lua = scriptText(script).replace(/^\s*--.*$/gm, '')
  return [...lua.matchAll(/'([A-Z]+(?:_[A-Z]+)*)'/g)].map(([, word]) => word ?? '')
}

describe('the page', () => {
  const table = /\| status \|[\s\S]*?\n\n/.exec(PAGE)?.[0] ?? ''
  const explained = [...table.matchAll(/^\| `([A-Z_]+)`/gm)].map(([, status]) => status ?? '').sort()
  // Provoked by the tests of the client, which take rights away.
  const untried = ['NOPERM']

  test('explains every status that a script can answer, and no other', () => {
    expect(explained).toEqual([...new Set(CLIENT_SCRIPTS.flatMap(named))].sort())
  })

  test.each(CLIENT_SCRIPTS)('%s answers what its header says, and each of its answers is in a vector', (script) => {
    const said = named(script)
    for (const status of said) expect(spoken(script)).toContain(status)
    const tried = VECTORS.flatMap(({ calls }) => calls.filter((c) => c.script === script)).map(
      ({ answer }) => answer[0],
    )
    expect([...new Set(tried)].sort()).toEqual(said.filter((status) => !untried.includes(status)).sort())
  })

  test.each(CLIENT_SCRIPTS)('%s has the SHA-1 of its file', (script) => {
    const sha1 = createHash('sha1').update(scriptText(script), 'utf8').digest('hex')
    expect(PAGE).toContain(`| \`${script}.lua\` | \`${sha1}\` |`)
  })

  test('links to parts that are there', () => {
    const anchors = [...PAGE.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title
        ?.toLowerCase()
        .replace(/[^a-z0-9 -]/g, '')
        .replaceAll(' ', '-'),
    )
    for (const [, link] of PAGE.matchAll(/\]\(#([^)]*)\)/g)) expect(anchors).toContain(link)
  })
})
