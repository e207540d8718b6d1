/**
 * Rules of the protocol switched off in the scripts that clients send, one at a time: a torture that does not notice proves
 * nothing.
 */
import { SCRIPTS, type ScriptName } from '../../src/redis/scripts.generated.ts'
import { createHash } from 'node:crypto'

interface Sabotage {
  readonly scripts: readonly ScriptName[]
  readonly from: string
  readonly to: string
}

const JOB_SCRIPTS: readonly ScriptName[] = [
  'job-create',
  'job-get',
  'job-update',
  'job-update-text',
  'job-mutate',
  'job-delete',
  'job-expire',
]

export const SABOTAGES = {
  /** An update is written to the key that is read, not to each that exists. */
  maintain: {
    scripts: ['job-update', 'job-update-text'],
    from: 'for _, key in ipairs(state.found) do',
    to: 'for _, key in ipairs({ state.found[1] }) do',
  },
  /** A deleted job stays under the other schema. */
  delete: {
    scripts: ['job-delete'],
    from: "for _, key in ipairs(state.found) do redis.call('UNLINK', key) end",
    to: "redis.call('UNLINK', state.found[1])",
  },
  /** The two keys do not get one expiry. */
  expiry: {
    scripts: ['job-expire'],
    from: 'set_expiry(state.found, at)',
    to: 'set_expiry({ state.found[1] }, at)',
  },
  /** A create replaces a job that exists. */
  absent: {
    scripts: ['job-create'],
    from: "if state.status == 'OK' then return answer('EXISTS') end",
    to: '',
  },
  /** Nobody asks whose job it is. */
  workspace: {
    scripts: JOB_SCRIPTS,
    from: "if stored == workspace then return 'mine' end",
    to: "if stored then return 'mine' end",
  },
  /** Older epochs go on for ever. */
  fence: {
    scripts: JOB_SCRIPTS,
    from: "if epoch < fence then return 'STALE_EPOCH', tostring(fence) end",
    to: '',
  },
  /** Compare-and-set does not compare. */
  compare: {
    scripts: ['job-update'],
    from: "if not holds then return answer('CONFLICT', ARGV[i]) end",
    to: '',
  },
} as const satisfies Record<string, Sabotage>

export type SabotageName = keyof typeof SABOTAGES

export function isSabotage(name: string): name is SabotageName {
  return name in SABOTAGES
}

/** Changes the scripts of this process. @throws Error where a script is no longer as it was when the rule was written down */
export function sabotage(name: SabotageName): void {
  const { scripts, from, to }: Sabotage = SABOTAGES[name]
  for (const script of scripts) {
    const source = SCRIPTS[script].source.replace(from, to)
    if (source === SCRIPTS[script].source) throw new Error(`${script} has no "${from}"`)
    Object.assign(SCRIPTS, { [script]: { source, sha1: createHash('sha1').update(source).digest('hex') } })
  }
}
