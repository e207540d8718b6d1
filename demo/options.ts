import { parseArgs } from 'node:util'
import { SABOTAGES, isSabotage, type Sabotage } from './sabotage.ts'
import type { Images } from './target.ts'

export const USAGE = `npm run demo -- [options]        the whole demo, on a local cluster that it starts and removes (needs root)
npm run demo:down                removes a local demo cluster, also one that a killed run left

  --context NAME           use a cluster that is there, by its kubeconfig context; it must be able to pull the images:
  --image REF              Keyshift and the sample app (build it with node hack/image/main.ts)
  --redis-image REF        default redis:7
  --prometheus-image REF   default prom/prometheus:v2.53.0
  --break                  kill -9, revert and redeploy parts of it during the walk; only on the local cluster
  --short                  6,000 jobs in place of 100,000
  --summary FILE           write what was counted as JSON
  --sabotage KIND          ${SABOTAGES.join(' | ')}: damage one key before the check, which must then fail
  --keep                   leave everything up and say how to reach it
  --name NAME              of the local cluster, default demo; demo:down takes it too
  --help                   this text`

export interface Options {
  readonly command: 'up' | 'down' | 'help'
  readonly context: string | undefined
  /** Only with `context`. */
  readonly images: Images | undefined
  /** Of the local cluster. */
  readonly name: string
  readonly breaks: boolean
  readonly short: boolean
  readonly summary: string | undefined
  readonly sabotage: Sabotage | undefined
  readonly keep: boolean
}

/** A command line that cannot be followed; the message says what to give instead. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** @throws UsageError */
export function readOptions(args: readonly string[]): Options {
  const { values, positionals } = parse(args)
  const command = positionals[0] ?? 'up'
  if (positionals.length > 1 || (command !== 'up' && command !== 'down'))
    throw new UsageError(`"${positionals.join(' ')}": give up or down`)
  if (values.sabotage !== undefined && !isSabotage(values.sabotage))
    throw new UsageError(`--sabotage ${values.sabotage}: give one of ${SABOTAGES.join(', ')}`)
  const given = [values.image, values['redis-image'], values['prometheus-image']].some((ref) => ref !== undefined)
  if (values.context === undefined && given)
    throw new UsageError('images are given with --context NAME; the local cluster builds its own')
  if (values.context !== undefined && values.image === undefined && command === 'up')
    throw new UsageError(
      '--context needs --image REF, an image with Keyshift and the sample app that the cluster can pull',
    )
  if (values.context !== undefined && values.break === true)
    throw new UsageError(
      '--break kills processes of the node and of the control plane, which it can do on its own local cluster only: leave out --context',
    )
  if (values.context !== undefined && values.name !== undefined)
    throw new UsageError('--name is of the local cluster: give it or --context')
  return {
    command: values.help === true ? 'help' : command,
    context: values.context,
    images:
      values.image === undefined
        ? undefined
        : {
            keyshift: values.image,
            redis: values['redis-image'] ?? 'redis:7',
            prometheus: values['prometheus-image'] ?? 'prom/prometheus:v2.53.0',
          },
    name: values.name ?? 'demo',
    breaks: values.break === true,
    short: values.short === true,
    summary: values.summary,
    sabotage: values.sabotage,
    keep: values.keep === true,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        context: { type: 'string' },
        image: { type: 'string' },
        'redis-image': { type: 'string' },
        'prometheus-image': { type: 'string' },
        name: { type: 'string' },
        break: { type: 'boolean' },
        short: { type: 'boolean' },
        summary: { type: 'string' },
        sabotage: { type: 'string' },
        keep: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
