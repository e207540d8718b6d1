import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, jest, test } from '@jest/globals'

jest.setTimeout(120_000)
const bench = join(import.meta.dirname, '../../../bench/client.ts')
const FEW = ['--operations', '20', '--rounds', '1', '--concurrency', '4']
const run = (...more: string[]): string =>
  execFileSync(process.execPath, ['--no-warnings', bench, ...FEW, ...more], {
    encoding: 'utf8',
    timeout: 90_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  })

test('bench/client.ts compares each operation with plain ioredis, in both encodings and every routing that users meet', () => {
  const report = JSON.parse(run('--json')) as Record<string, unknown> & { results: Record<string, unknown>[] }
  expect(report).toMatchObject({ operations: 20, rounds: 1, concurrency: 4, redis: expect.stringMatching(/^\d/) })
  const routings = ['no migration', 'DualWrite', 'ReadRouting', 'BackfillVerify']
  expect(report.results.map((r) => [r['encoding'], String(r['routing']).split(',')[0], r['operation']])).toEqual(
    ['hash', 'json'].flatMap((encoding) =>
      routings.flatMap((routing) => ['get', 'update', 'enqueue'].map((operation) => [encoding, routing, operation])),
    ),
  )
  const share = { median: expect.any(Number), low: expect.any(Number), high: expect.any(Number) }
  for (const result of report.results)
    expect(result).toMatchObject({
      throughput: share,
      redisCpu: share,
      ownCpu: share,
      plainPerSecond: expect.any(Number),
    })
})

test('for people it is a table with a line for each of them', () => {
  const rows = run()
    .split('\n')
    .filter((line) => /^\| (hash|json) \|/.test(line))
  expect(rows).toHaveLength(24)
  for (const row of rows) expect(row.split('|').filter((cell) => cell.trim() !== '')).toHaveLength(6)
})

test.each(['0', 'many'])('--rounds %s is refused with what to give instead', (rounds) => {
  expect(() => run('--rounds', rounds)).toThrow(/take a whole number of 1 or more/)
})
