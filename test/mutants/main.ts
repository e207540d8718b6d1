/**
 * `npm run mutants`: breaks a copy of the product by one line at a time; some test must fail each time.
 * `npm run mutants -- WORD ...`: those whose name or file has all of the words. `--rotate N`: N of them, other ones each day.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { tryRun } from '../../hack/system/run.ts'
import { Copy } from './copy.ts'
import { MUTANTS, type Mutant } from './list.ts'
import { readArguments, rotated } from './select.ts'

const LIMIT_MS = 300_000
const DAY_MS = 86_400_000

interface Report {
  readonly numFailedTests: number
  readonly numPassedTests: number
}

/** What the tests come to in the copy as it is; a text where there is no report. */
async function runTests(
  copy: Copy,
  suite: string,
  tests: readonly string[],
  limitMs: number,
): Promise<Report | string> {
  const file = join(copy.dir, 'report.json')
  rmSync(file, { force: true })
  const jest = ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js', '--forceExit']
  const which = ['--selectProjects', suite, '--testPathPatterns', ...tests, '--json', `--outputFile=${file}`]
  const { stderr } = await tryRun(process.execPath, [...jest, ...which], { cwd: copy.dir, limitMs })
  return existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as Report)
    : `no report within ${limitMs / 1000} s: ${stderr.slice(-2000)}`
}

/** undefined: some test failed, as it must; else what is to be said. */
async function survives(copy: Copy, { suite, tests }: Mutant): Promise<string | undefined> {
  const report = await runTests(copy, suite, tests, LIMIT_MS)
  if (typeof report === 'string') return report
  const { numFailedTests, numPassedTests } = report
  if (numFailedTests > 0) return undefined
  return numPassedTests > 0
    ? `survived ${numPassedTests} tests of ${tests.join(', ')}`
    : `no test ran of ${tests.join(', ')}`
}

/** Tests that fail by themselves would kill every mutant: `npm test` has just run them, a run of its own must ask. */
async function failWithout(copy: Copy, chosen: readonly Mutant[]): Promise<string | undefined> {
  for (const suite of new Set(chosen.map((mutant) => mutant.suite))) {
    const tests = [...new Set(chosen.filter((mutant) => mutant.suite === suite).flatMap((mutant) => mutant.tests))]
    const report = await runTests(copy, suite, tests, 4 * LIMIT_MS)
    if (typeof report === 'string') return report
    if (report.numFailedTests > 0) return `${report.numFailedTests} tests of ${suite} fail with nothing broken`
    console.log(`${report.numPassedTests} tests of ${suite} pass with nothing broken`)
  }
  return undefined
}

let asked
try {
  asked = readArguments(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(2)
}
const chosen =
  asked.rotate === undefined
    ? MUTANTS.filter(({ name, file }) => asked.words.every((word) => name.includes(word) || file.includes(word)))
    : rotated(MUTANTS, asked.rotate, Math.floor(Date.now() / DAY_MS))
if (chosen.length === 0) {
  console.error('no mutant has such a name; test/mutants/list.ts lists them')
  process.exit(2)
}

const copy = new Copy()
process.on('exit', () => copy.remove())
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
const red = asked.rotate === undefined ? await failWithout(copy, chosen) : undefined
if (red !== undefined) {
  console.error(red)
  process.exit(1)
}
let killed = 0
for (const mutant of chosen) {
  const started = Date.now()
  const said = await copy.with(mutant, () => survives(copy, mutant))
  if (said === undefined) killed += 1
  const seconds = ((Date.now() - started) / 1000).toFixed(1)
  console.log(
    `${said === undefined ? 'killed  ' : 'SURVIVED'} ${seconds.padStart(6)} s  ${mutant.file}: ${mutant.name}`,
  )
  if (said !== undefined) console.log(`         ${said}`)
}
console.log(`${killed} of ${chosen.length} mutants killed`)
process.exit(killed === chosen.length ? 0 : 1)
