/**
 * `npm test`: checks, then the suites one after another, each with its time; last line `N passed, N failed`.
 * `npm test -- unit integration` runs only those; `--list` names them.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SUITES, type Suite } from './suites.ts'

const root = join(import.meta.dirname, '..', '..')
const scratch = mkdtempSync(join(tmpdir(), 'keyshift-test-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

interface Outcome {
  readonly name: string
  readonly seconds: number
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** Runs a command of the repository with its output passed on; resolves with its exit code. */
function run(command: readonly string[], minutes: number): Promise<number> {
  const [program = '', ...args] = command
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
    const stop = (signal: NodeJS.Signals): void => void child.kill(signal)
    process.once('SIGINT', stop)
    process.once('SIGTERM', stop)
    const limit = setTimeout(() => {
      console.error(`stopped after ${minutes} minutes: ${command.join(' ')}`)
      child.kill('SIGTERM')
      setTimeout(() => child.kill('SIGKILL'), 30_000).unref()
    }, minutes * 60_000)
    child.on('error', (error) => {
      console.error(`${program}: ${error.message}`)
      resolve(127)
    })
    child.on('close', (code) => {
      clearTimeout(limit)
      process.off('SIGINT', stop)
      process.off('SIGTERM', stop)
      resolve(code ?? 1)
    })
  })
}

async function runSuite(suite: Suite): Promise<Outcome> {
  const started = Date.now()
  console.log(`\n=== ${suite.name}: ${suite.what}`)
  const took = (): number => Math.round((Date.now() - started) / 100) / 10
  if (suite.kind === 'command') {
    const code = await run(suite.command, suite.minutes)
    return { name: suite.name, seconds: took(), passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 }
  }
  const report = join(scratch, `${suite.name}.json`)
  const jest = [
    'node_modules/jest/bin/jest.js',
    '--selectProjects',
    ...suite.projects,
    '--json',
    `--outputFile=${report}`,
    '--forceExit',
    ...suite.args,
  ]
  const code = await run([process.execPath, '--experimental-vm-modules', '--no-warnings', ...jest], suite.minutes)
  return { name: suite.name, seconds: took(), ...readReport(report, code) }
}

function readReport(file: string, code: number): Pick<Outcome, 'passed' | 'failed' | 'skipped'> {
  try {
    const r = JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>
    const skipped = (r['numPendingTests'] ?? 0) + (r['numTodoTests'] ?? 0)
    const broken = (r['numFailedTests'] ?? 0) + (r['numRuntimeErrorTestSuites'] ?? 0)
    // A runner that ends badly without a failed test (a crash, an open handle) has still failed.
    return { passed: r['numPassedTests'] ?? 0, failed: broken === 0 && code !== 0 ? 1 : broken, skipped }
  } catch {
    return { passed: 0, failed: 1, skipped: 0 }
  }
}

const asked = process.argv.slice(2)
if (asked.includes('--list')) {
  for (const suite of SUITES) console.log(`${suite.name.padEnd(12)} ${suite.what}`)
  process.exit(0)
}
const unknown = asked.filter((name) => !SUITES.some((suite) => suite.name === name))
if (unknown.length > 0) {
  console.error(`no suite named ${unknown.join(', ')}; there are: ${SUITES.map((s) => s.name).join(', ')}`)
  process.exit(2)
}

const outcomes: Outcome[] = []
for (const suite of SUITES) {
  if (asked.length > 0 && !asked.includes(suite.name)) continue
  outcomes.push(await runSuite(suite))
}

console.log('\nsuite          seconds   passed   failed  skipped')
for (const o of outcomes) {
  console.log(
    `${o.name.padEnd(12)} ${o.seconds.toFixed(1).padStart(9)} ${String(o.passed).padStart(8)} ${String(o.failed).padStart(8)} ${String(o.skipped).padStart(8)}`,
  )
}
const sum = (field: 'passed' | 'failed' | 'skipped'): number => outcomes.reduce((n, o) => n + o[field], 0)
const skippedInCi = process.env['CI'] === 'true' ? sum('skipped') : 0
if (skippedInCi > 0) console.log(`${skippedInCi} skipped tests count as failed under CI=true`)
const failed = sum('failed') + skippedInCi
process.exitCode = failed === 0 && sum('passed') > 0 ? 0 : 1
console.log(`${sum('passed')} passed, ${failed} failed`)
