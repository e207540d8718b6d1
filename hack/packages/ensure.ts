import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type Log, step } from '../system/log.ts'
import { withLock } from '../system/lock.ts'
import { findProgram, run, tryRun } from '../system/run.ts'
import type { Package } from './list.ts'

const noQuestions = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' }
const limitMs = 15 * 60_000

/** Installs what is missing, and touches nothing when nothing is. */
export async function ensurePackages(wanted: readonly Package[], log: Log): Promise<void> {
  const missing = await missingOf(wanted)
  if (missing.length === 0) return
  const first = missing.map((item) => item.names[0] as string)
  if (findProgram('apt-get') === undefined)
    throw new Error(
      `missing: ${missing.map((item) => item.program).join(', ')}; this installs packages on Debian and Ubuntu only, elsewhere install them yourself`,
    )
  if (process.getuid?.() !== 0)
    throw new Error(
      `missing packages, and only root may install: sudo apt-get install --no-install-recommends ${first.join(' ')}`,
    )
  // One at a time: the first to end would take the guard below away from the other.
  await withLock('/run/lock/keyshift-packages', log, limitMs, () =>
    step(log, `installing ${first.join(', ')} (apt-get)`, async () => {
      await aptGet(['update'])
      const names = await Promise.all(missing.map(firstKnown))
      await withoutServiceStarts(() => aptGet(['install', '-y', '--no-install-recommends', ...names]))
    }),
  )
  const still = await missingOf(missing)
  if (still.length > 0)
    throw new Error(
      `installed, yet not found: ${still.map((item) => `${item.program} (of ${item.names.join(' or ')})`).join(', ')}`,
    )
}

async function missingOf(wanted: readonly Package[]): Promise<Package[]> {
  const there = await Promise.all(wanted.map(isThere))
  return wanted.filter((_, i) => !there[i])
}

async function isThere({ program, folders, check }: Package): Promise<boolean> {
  if (check === undefined) return findProgram(program, folders) !== undefined
  const [command, ...args] = check
  return (await tryRun(command, args).catch(() => undefined))?.code === 0
}

async function firstKnown(item: Package): Promise<string> {
  for (const name of item.names) {
    const known = await tryRun('apt-cache', ['policy', name])
    if (/Candidate: (?!\(none\))/.test(known.stdout)) return name
  }
  throw new Error(`apt knows no package ${item.names.join(' or ')}: install a program '${item.program}' yourself`)
}

// Another apt run (unattended upgrades) may hold the lock for a while.
const aptGet = (args: string[]): Promise<string> =>
  run('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=300', ...args], { env: noQuestions, limitMs })

const guard = '/usr/sbin/policy-rc.d'
const mark = '# written by keyshift while it installs packages'

/** Debian starts a service when it installs it: a second Redis or etcd on the usual port is not what anybody asked for. */
async function withoutServiceStarts<T>(work: () => Promise<T>): Promise<T> {
  if (existsSync(guard) && !readFileSync(guard, 'utf8').includes(mark)) return work() // Its owner decides.
  // Answers "no" only while this process lives, so one that is left behind does no harm.
  const script = `#!/bin/sh\n${mark}\n[ -d /proc/${process.pid} ] && exit 101\nexit 0\n`
  writeFileSync(guard, script, { mode: 0o755 })
  try {
    return await work()
  } finally {
    rmSync(guard, { force: true })
  }
}
