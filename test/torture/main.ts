/** `npm run torture -- --minutes N --seed S [--json]`: see README. Exit code 0 only where nothing was found. */
import { parseArgs } from 'node:util'
import { isSabotage, SABOTAGES } from './sabotage.ts'
import { torture } from './torture.ts'

const USAGE = `npm run torture -- [options]
  --minutes N   how long, 0.3 to 600, default 1
  --seed S      a whole number; the same one gives the same schedule of operations and faults. Default: drawn
  --sentinel    three Sentinels over three servers, with failovers, in place of one server
  --client CMD  program of the last of the four clients in place of the one in Python, with its arguments: see test/torture/client/wire.ts
  --sabotage R  break a rule of the protocol in every client, which must be noticed: ${Object.keys(SABOTAGES).join(' ')}
  --json        print the report as one line of JSON, and nothing else on stdout`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    sentinel: { type: 'boolean' },
    client: { type: 'string' },
    sabotage: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
  },
})
const { sabotage, sentinel = false } = values
const minutes = Number(values.minutes ?? '1')
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
if (
  values.help === true ||
  !(minutes >= 0.3 && minutes <= 600) ||
  !Number.isSafeInteger(seed) ||
  (sabotage !== undefined && !isSabotage(sabotage))
) {
  console.error(USAGE)
  process.exit(values.help === true ? 0 : 2)
}

const abort = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => abort.abort(new Error(`stopped by ${signal}`)))

try {
  console.error(`seed ${seed}`)
  const { report, faults, failure, seconds } = await torture({
    minutes,
    seed,
    sentinel,
    sabotage,
    client: values.client?.split(' '),
    signal: abort.signal,
    say: (text) => console.error(text),
  })
  if (values.json === true) console.log(JSON.stringify(report))
  else console.log(JSON.stringify(report, undefined, 2))
  console.error(`${Math.round(report.operations / seconds)} operations a second were checked`)
  const made = Object.entries(faults).map(([fault, times]) => `${fault} ${times}`)
  console.error(`faults made: ${made.sort().join(', ')}`)
  if (failure !== undefined) console.error(failure)
  const nothing = Object.values(report.violations).every((count) => count === 0)
  process.exitCode = nothing && failure === undefined ? 0 : 1
} catch (error) {
  console.error(error instanceof Error ? (abort.signal.aborted ? error.message : error.stack) : String(error))
  process.exitCode = abort.signal.aborted ? 130 : 1
}
