/** `npm run demo` and `npm run demo:down`. */
import { PLACES, undeploy, type Places } from './deploy.ts'
import { startLocal, stopLocal } from './local.ts'
import { USAGE, UsageError, readOptions, type Options } from './options.ts'
import { runDemo } from './run.ts'
import { Screen } from './screen.ts'
import { FULL_SIZES, SHORT_SIZES } from './seed.ts'
import { table, writeSummary } from './summary.ts'
import { contextTarget, localTarget, type Images, type Target } from './target.ts'

const screen = new Screen(process.stdout)

/** In a cluster that is not ours `monitoring` may be taken. */
const FOREIGN_PLACES: Places = { ...PLACES, operator: 'keyshift-demo-system', monitoring: 'keyshift-demo-monitoring' }

const RATES = { jobs: 120, docs: 30 }

interface Ground {
  readonly target: Target
  readonly images: Images
  readonly places: Places
  remove(): Promise<void>
}

/** The cluster to run in: a local one of our own, or the one that was named. */
async function ground(options: Options, signal: AbortSignal): Promise<Ground> {
  if (options.context !== undefined && options.images !== undefined) {
    const target = contextTarget(options.context)
    const remove = (): Promise<void> => undeploy(target, FOREIGN_PLACES)
    return { target, images: options.images, places: FOREIGN_PLACES, remove }
  }
  const { cluster, images } = await screen.phase('cluster and images', () =>
    startLocal({ name: options.name, keep: options.keep, screen, signal }),
  )
  return { target: localTarget(cluster), images, places: PLACES, remove: () => cluster.stop() }
}

async function up(options: Options, signal: AbortSignal): Promise<number> {
  const place = await ground(options, signal)
  const { target, images, places } = place
  let kept = false
  try {
    const sizes = options.short ? SHORT_SIZES : FULL_SIZES
    const run = await runDemo({ target, images, places, sizes, rates: RATES, breaks: options.breaks, screen, signal })
    const outcome = await run.check(options.sabotage)
    run.close()
    screen.block(`\n${table(outcome, run.traffic)}\n`)
    if (options.summary !== undefined) writeSummary(options.summary, outcome.summary)
    kept = options.keep
    return outcome.summary.ok ? 0 : 1
  } finally {
    target.disconnect()
    // Kept also when it failed: that is when a person wants to look.
    if (kept || (options.keep && !signal.aborted)) screen.block(reach(target, options))
    else await screen.phase('remove', () => place.remove())
  }
}

function reach(target: Target, { context, name }: Options): string {
  const down =
    context === undefined
      ? name === 'demo'
        ? 'npm run demo:down'
        : `npm run demo:down -- --name ${name}`
      : `npm run demo:down -- --context ${context}`
  return ['Everything is left up:', ...target.howToReach, `End it with: ${down}`].join('\n  ')
}

async function down({ context, name }: Options): Promise<number> {
  if (context !== undefined) await undeploy(contextTarget(context), FOREIGN_PLACES)
  else if (!(await stopLocal(name, screen))) screen.line('there is no demo cluster, and nothing is left of one')
  return 0
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args)
  if (options.command === 'help') {
    screen.block(USAGE)
    return 0
  }
  if (options.command === 'down') return down(options)
  const ending = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      screen.line(`${signal}: removing what was made`)
      ending.abort(new Error(`ended by ${signal}`))
    })
  try {
    return await up(options, ending.signal)
  } catch (error) {
    // What broke because it was ended is of no interest.
    throw ending.signal.aborted ? ending.signal.reason : error
  }
}

try {
  process.exit(await main(process.argv.slice(2)))
} catch (error) {
  screen.live('')
  console.error(
    error instanceof UsageError ? `${error.message}\n\n${USAGE}` : error instanceof Error ? error.message : error,
  )
  process.exit(error instanceof UsageError ? 2 : 1)
}
