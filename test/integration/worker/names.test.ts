import { jest } from '@jest/globals'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import {
  classifyKey,
  legacyKey,
  parseTemplates,
  scanPattern,
  targetKey,
  TemplateError,
} from '../../../src/protocol/templates.ts'
import { batchConfig } from '../../../src/worker/batch.ts'
import { parseWork } from '../../../src/worker/work-spec.ts'
import { World } from './world.ts'

// A machine that builds and tests at once is slow; no test waits for this long.
jest.setTimeout(60_000)

let world: World
beforeAll(async () => {
  world = await World.start()
}, 30_000)
afterAll(() => world.stop())

const lib = (name: string): string =>
  readFileSync(join(import.meta.dirname, `../../../src/redis/lua/lib/${name}.lua`), 'utf8').replace(
    /^--- @include.*$/gm,
    '',
  )
// Only what is under test: the names as the scripts read and make them.
const script = `#!lua
${lib('ids')}
${lib('worker-names')}
local out = {}
for i, key in ipairs(KEYS) do
  local kind, detail, at = classify(key)
  local workspace, job = '', ''
  if kind == 'target' then workspace, job = ids_of(detail, at) elseif kind == 'legacy' then job = detail end
  local made = kind == 'target' and target_key(workspace, job) or kind == 'legacy' and legacy_key(job) or ''
  out[i] = { kind, workspace, job, made }
end
return out`

const specOf = (legacy: string, target: string, ignore: string[] = []) =>
  parseWork(JSON.stringify({ ...world.spec('backfill'), legacy, target, ignore }))

async function read(config: string, keys: readonly (string | Buffer)[]): Promise<string[][]> {
  return (await world.redis.call('EVAL', script, keys.length, ...keys, config)) as string[][]
}

const pairs: [string, string][] = [
  ['ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}'],
  ['ai:job:{job_id}', 'ai:job:{job_id}:{workspace_id}'],
  ['job:{job_id}', 'v2:{ws}::{job_id}:x'],
  ['job:{job_id}:data', 'job:{ws}/{job_id}:data'],
  ['😀a{job_id}', '😁b{ws}👍{job_id}'],
  ['a[*]?{job_id}', 'a[*]?{ws}*{job_id}'],
]
// Texts that come close to the templates, and nasty ones.
const piece = fc.oneof(
  fc.constantFrom(
    '',
    ':',
    '::',
    ':x',
    '/',
    '*',
    '👍',
    '😀a',
    '😁b',
    'a',
    'w1',
    'j1',
    'v2:',
    'job:',
    'ai:job:',
    ':data',
    'a[*]?',
    '\0',
    '%',
    'é',
    'keyshift:',
  ),
  fc.string({ unit: 'binary', maxLength: 4 }),
)
const name = fc.array(piece, { maxLength: 6 }).map((parts) => parts.join(''))

test('scripts and templates.ts read and make every name alike', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...pairs),
      fc.array(name, { minLength: 20, maxLength: 60 }),
      async ([l, t], names) => {
        const templates = parseTemplates(l, t)
        const work = specOf(l, t)
        const head = [templates.legacy.literals[0] ?? '', templates.target.literals[0] ?? '']
        const keys = names
          .flatMap((n) => [n, ...head.map((h) => h + n + (templates.legacy.literals[1] ?? ''))])
          .filter((k) => k.isWellFormed())
        const answers = await read(batchConfig(work), keys)
        for (const [i, key] of keys.entries()) {
          const expected = classifyKey(templates, key)
          const [kind, workspaceId, jobId, made] = answers[i] ?? []
          if (expected.kind === 'other') expect(['other', 'misnamed']).toContain(kind)
          else expect({ kind, jobId, workspaceId, made }).toEqual({ workspaceId: '', ...expected, made: key })
        }
      },
    ),
    { numRuns: 150 },
  )
}, 60_000)

test('every key that the templates make is found by the scan pattern and reads back', async () => {
  const id = fc.string({ unit: 'binary', minLength: 1, maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...pairs), id, id, async ([l, t], ws, job) => {
      const templates = parseTemplates(l, t)
      fc.pre(!ws.includes(templates.forbidden) && !job.includes(templates.forbidden))
      await world.redis.flushall()
      const keys = [legacyKey(templates, job), targetKey(templates, ws, job)]
      for (const key of keys) await world.redis.set(key, 'x')
      expect((await world.keys(scanPattern(templates))).sort()).toEqual([...keys].sort())
      const [legacy, target] = await read(batchConfig(specOf(l, t)), keys)
      expect(legacy).toEqual(['legacy', '', job, keys[0]])
      expect(target).toEqual(['target', ws, job, keys[1]])
    }),
    { numRuns: 200 },
  )
}, 60_000)

test.each([
  ['bytes that are no UTF-8', Buffer.from([0xff]), 'job id is not UTF-8'],
  ['an overlong form', Buffer.from([0xc0, 0xaf]), 'job id is not UTF-8'],
  ['a surrogate', Buffer.from([0xed, 0xa0, 0x80]), 'job id is not UTF-8'],
  ['a character cut short', Buffer.from([0xf0, 0x9f, 0x98]), 'job id is not UTF-8'],
  ['beyond the last character', Buffer.from([0xf4, 0x90, 0x80, 0x80]), 'job id is not UTF-8'],
  ['nothing', Buffer.from(''), 'job id is empty'],
  ['513 bytes', Buffer.from('x'.repeat(513)), 'job id is too long'],
  ['two delimiters', Buffer.from('a:b:c'), 'job id contains ":"'],
])('a legacy name with %s is misnamed', async (_what, id, why) => {
  const config = batchConfig(specOf(...(pairs[0] as [string, string])))
  const misnamed = script.replace('out[i] = { kind,', 'out[i] = { kind, tostring(detail),')
  const [answer] = (await world.redis.call(
    'EVAL',
    misnamed,
    1,
    Buffer.concat([Buffer.from('ai:job:'), id]),
    config,
  )) as string[][]
  expect(answer?.slice(0, 2)).toEqual(['misnamed', why])
})

test.each([
  ['ai:job:*:progress', 'ai:job:j1:progress', true],
  ['ai:job:*:progress', 'ai:job:j1:progress2', false],
  ['ai:job:*:progress', 'ai:job:progress', false],
  ['ai:job:j1', 'ai:job:j1', true],
  ['ai:job:j1', 'ai:job:j12', false],
  ['*', 'ai:job:j1', true],
  ['ai:job:a*b*c', 'ai:job:abc', true],
  ['ai:job:a*b*c', 'ai:job:aXbYbZc', true],
  ['ai:job:a*b*c', 'ai:job:acb', false],
  ['ai:job:ab*ba', 'ai:job:aba', false],
  ['ai:job:%a.?[x]', 'ai:job:%a.?[x]', true],
  ['ai:job:%a', 'ai:job:b', false],
  [`ai:job:${'a*'.repeat(100)}b`, `ai:job:${'a'.repeat(400)}`, false],
])('keys.ignore %s and the key %s: %s', async (pattern, key, ignored) => {
  const [l, t] = pairs[0] as [string, string]
  const [plain] = await read(batchConfig(specOf(l, t)), [key])
  const [answer] = await read(batchConfig(specOf(l, t, [pattern])), [key])
  expect(answer?.[0] === 'other').toBe(ignored)
  expect(plain?.[0]).not.toBe('other')
})

test('the templates of these tests are all usable', () => {
  for (const [l, t] of pairs) expect(() => parseTemplates(l, t)).not.toThrow(TemplateError)
})
