import { PHASE_TITLES as AT } from '../drive.ts'
import { STORES } from '../jobs.ts'
import type { Migration } from '../resource.ts'
import { Breaker, type Plan, type Wound } from './breaker.ts'
import { rollingUpdate, scaling } from './deploys.ts'
import type { Fault, World } from './fault.ts'
import { appPod, backfillPod, bothOperators, operatorLeader } from './kills.ts'
import { controlPlane, prometheusServer, redisServer } from './servers.ts'
import { deletedJob, oldStatus, olderDocument, removedKeys, takeSnapshot, type Snapshot } from './tampering.ts'

/** Every fault once, each in a phase and at a moment where it hurts. */
export function makeBreaker(world: World): Breaker {
  const name = STORES.jobs.resource
  // As of the last look, which whoever waits for a moment takes first.
  const now = (): Migration | undefined => world.watch.last.find(({ metadata }) => metadata.name === name)
  const epoch = (): number => now()?.status?.epoch ?? 0
  let epochBefore = 0
  const snapshots: Snapshot[] = []

  const atOnce = (fault: Fault): Wound => ({ moment: 'the phase begins', hasCome: () => true, fault })
  // The document is out, and no pod can run it yet.
  const inStep = (fault: Fault): Wound => ({ moment: 'a step is taken', hasCome: () => epoch() > epochBefore, fault })
  const inState = (
    moment: string,
    come: (status: NonNullable<Migration['status']>) => boolean,
    fault: Fault,
  ): Wound => ({
    moment,
    hasCome: () => come(now()?.status ?? {}),
    fault,
  })
  const oldest = (): Snapshot => {
    const found = snapshots.find(({ migration }) => (migration.status?.epoch ?? 0) < epoch())
    if (found === undefined) throw new Error('nothing older was kept')
    return found
  }

  const plan: Plan = {
    [AT.quarantined]: [atOnce(appPod(world, 'ai-worker'))],
    [AT.canary]: [inStep(operatorLeader(world))],
    [AT.dualWrite]: [
      inStep(rollingUpdate(world)),
      atOnce(olderDocument(world, name, oldest)),
      atOnce(oldStatus(world, name, oldest)),
    ],
    [AT.readRouting]: [
      inState('ReadRouting is in force', ({ phase }) => phase === 'ReadRouting', backfillPod(world)),
      atOnce(redisServer(world)),
      atOnce(appPod(world, 'ai-api')),
    ],
    [AT.backfillVerify]: [
      inState(
        'the soak of BackfillVerify',
        ({ phase, soakEndsAt }) => phase === 'BackfillVerify' && soakEndsAt !== undefined,
        prometheusServer(world),
      ),
      atOnce(deletedJob(world, name, 'backfill')),
      atOnce(scaling(world)),
    ],
    [AT.back]: [inStep(controlPlane(world))],
    [AT.again]: [inStep(bothOperators(world)), inStep(removedKeys(world, name))],
  }
  return new Breaker(world, plan, async () => {
    epochBefore = epoch()
    if (epochBefore > 0) snapshots.push(await takeSnapshot(world, name))
  })
}
