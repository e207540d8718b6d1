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

/** undefined: some test failed, as it must; else what is to be said. */
async function survives(copy: Copy, { suite, tests }: Mutant): Promise<string | undefined> {
  const file = join(copy.dir, 'report.json')
  rmSync(file, { force: true })
  const jest = ['--experimental-vm-modules', '--no-warnings', 'node_modules/jest/bin/jest.js', '--forceExit']
  const which = ['--selectProjects', suite, '--testPathPatterns', ...tests, '--json', `--outputFile=${file}`]
  const { stderr } = await tryRun(process.execPath, [...jest, ...which], { cwd: copy.dir, limitMs: LIMIT_MS })
  if (!existsSync(file)) return `no report within ${LIMIT_MS / 1000} s: ${stderr.slice(-2000)}`
  const { numFailedTests, numPassedTests } = JSON.parse(readFileSync(file, 'utf8')) as Report
  if (numFailedTests > 0) return undefined
  return numPassedTests > 0
    ? `survived ${numPassedTests} tests of ${tests.join(', ')}`
    : `no test ran: ${stderr.slice(-2000)}`
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
