import { z } from 'zod'
import { PHASES } from '../protocol/phases.ts'
import { WORK_KINDS } from '../protocol/work.ts'

const text = (max: number) => z.string().max(max)
const time = () => z.string().max(40).meta({ description: 'RFC 3339, UTC.' })
const count = () => z.int().min(0)

const State = z.object({
  phase: z.enum(PHASES),
  step: count(),
  createTarget: z.int().min(0).max(100),
  readTarget: z.int().min(0).max(100),
})

/** One piece of evidence: which worker Job proved it, and when. */
const Proof = z.object({ job: text(63), epoch: count(), at: time() })

/** Account of one kind of worker Job: its attempt in hand, and what stands in the way of the next one. */
const WorkAccount = z.object({
  attempt: count().meta({ description: 'Number in the name of the Job.' }),
  state: z.enum(['Creating', 'Active', 'Recorded', 'Waiting', 'Held']).meta({
    description:
      'Creating: asked for. Active: seen. Recorded: its result is taken or void. Waiting: backs off after a failure. Held: a person must act.',
  }),
  asked: time().optional().meta({ description: 'When this attempt was asked for; its result is known by it.' }),
  resumes: count().optional().meta({ description: 'Attempt whose checkpoint this one takes over.' }),
  direction: z.enum(['TargetToLegacy', 'Both']).optional(),
  failures: count().meta({ description: 'Attempts that ended without a result, in a row.' }),
  since: time().optional().meta({ description: 'Since when it waits or is held.' }),
  reason: text(64).optional(),
  message: text(1024).optional(),
  retry: text(253)
    .optional()
    .meta({ description: 'Annotation keyshift.dev/retry when it was held; a new value runs it again.' }),
  inputs: text(253)
    .optional()
    .meta({ description: 'Digest of the spec fields it looks at, or the annotation it carries out.' }),
})

export const StatusSchema = z
  .object({
    observedGeneration: count().optional().meta({ description: 'Generation of the spec that this status speaks of.' }),
    awaits: text(1536).optional().meta({
      description:
        'What the migration waits for, and what to do: `<Reason>: <what>. <what to do>`, in one line. Its name puts it first in what kubectl describe prints.',
    }),
    phase: z.enum(PHASES).optional().meta({ description: 'Phase in force.' }),
    step: count().optional().meta({ description: 'Step within the phase, from 0.' }),
    canaryPercentage: z.int().min(0).max(100).optional().meta({
      description: 'Share in force of what the phase ramps; elsewhere the share of new jobs on the target schema.',
    }),
    epoch: count().optional().meta({ description: 'Epoch of the routing document in force.' }),
    revision: count().optional().meta({
      description:
        'Grows with each change within the epoch of what the record in Redis keeps of this status: of the two the higher one is believed.',
    }),
    routing: text(8192).optional().meta({ description: 'The routing document in force, byte for byte as published.' }),
    isAbort: z
      .boolean()
      .optional()
      .meta({ description: 'The epoch in force took back a step that had not converged.' }),
    previous: State.optional().meta({ description: 'Routing state before this epoch.' }),
    fence: count().optional().meta({ description: 'Fence confirmed on the primary and its replicas.' }),
    publishedAt: time().optional().meta({ description: 'When the epoch in force was published.' }),
    firstPublishedAt: time().optional().meta({ description: 'When epoch 1 was published.' }),
    convergedAt: time().optional().meta({ description: 'When every pod was first seen to run the epoch in force.' }),
    phaseStartedAt: time().optional(),
    soakEndsAt: time().optional().meta({ description: 'When the soak of the step ends, if it stays healthy.' }),
    soakRemainingMs: count()
      .optional()
      .meta({ description: 'Soak left to earn while it is held up, in milliseconds.' }),
    soakLengthMs: count()
      .optional()
      .meta({ description: 'Length of the whole soak that the two fields above count on, in milliseconds.' }),
    soakCountedThrough: time().optional().meta({ description: 'Soak windows are counted up to here.' }),
    failed: z
      .object({
        phase: z.enum(PHASES),
        step: count(),
        generation: count(),
        reason: text(64),
        message: text(1024),
        at: time(),
        destination: z.enum(PHASES).meta({ description: 'Where the failure sent the walk.' }),
        targetPhase: z
          .enum(PHASES)
          .meta({ description: 'spec.targetPhase when it failed; a change takes the latch off.' }),
        canaryPercentage: z
          .int()
          .min(0)
          .max(100)
          .meta({ description: 'spec.canaryPercentage when it failed; a change takes the latch off.' }),
        retry: text(253).optional().meta({
          description: 'Value of the annotation keyshift.dev/retry when it failed; a new value takes the latch off.',
        }),
      })
      .optional()
      .meta({ description: 'A failure that holds every forward step until a person answers it.' }),
    evidence: z
      .object({
        lineage: text(64).meta({ description: 'master_replid of the Redis that the proofs are about.' }),
        baseEpoch: count().meta({ description: 'First epoch whose fence shut out creates below 100 %.' }),
        verifiedTarget: Proof.optional(),
        backfill: Proof.optional(),
        verifiedBoth: Proof.optional(),
        voided: text(256).optional().meta({ description: 'Why proofs were dropped, until they are there again.' }),
      })
      .optional()
      .meta({ description: 'What has been proven of the data, and for which Redis and epoch it holds.' }),
    preflight: Proof.extend({ inputs: text(16) })
      .optional()
      .meta({
        description: 'The preflight that found no blocker, with a digest of the spec fields that it looked at.',
      }),
    malformed: z
      .object({ count: count(), keys: z.array(text(320)).max(20) })
      .optional()
      .meta({ description: 'Jobs whose workspace cannot be told.' }),
    work: z
      .record(z.string().max(16), WorkAccount)
      .optional()
      .meta({ description: 'Account of each kind of worker Job.' }),
    redisSeen: z
      .object({ address: text(4096), runId: text(64), lineage: text(64), since: time() })
      .optional()
      .meta({ description: 'The Redis process last seen, and since when it is this one.' }),
    lapsed: z
      .array(z.object({ pod: text(64), since: time() }))
      .max(64)
      .optional()
      .meta({ description: 'UIDs of running pods whose clients have no lease any more.' }),
    newcomers: z
      .array(
        z.object({
          pod: text(64),
          name: text(253),
          workload: text(280),
          template: text(80),
          image: text(256),
          since: time(),
        }),
      )
      .max(16)
      .optional()
      .meta({
        description:
          'Pods that started, of a template no pod of which was a member yet. One that is gone by the end of joinTimeout ran without the client.',
      }),
    reverts: z
      .object({ count: count(), at: time(), manager: text(128) })
      .optional()
      .meta({ description: 'How often another field manager took back the routing document of late.' }),
    templates: z.array(text(80)).max(64).optional().meta({ description: 'Pod templates that were seen as members.' }),
    lastCap: z
      .object({ targetPhase: z.enum(PHASES), canaryPercentage: z.int().min(0).max(100) })
      .optional()
      .meta({
        description:
          'Set by a walk back that ended at 100 % of this phase: the percentage caps it again once it has another value.',
      }),
    purged: text(253)
      .optional()
      .meta({ description: 'Value of the annotation keyshift.dev/purge that was carried out.' }),
    orders: z
      .object({
        repair: text(253).optional(),
        purge: text(253).optional(),
        retry: text(253).optional(),
        adopt: text(253).optional(),
      })
      .optional()
      .meta({
        description:
          'Values of the annotations keyshift.dev/repair, purge, retry and adopt-epoch that were answered: as they stand they order nothing any more.',
      }),
    repaired: z
      .object({
        value: text(253).meta({ description: 'Value of the annotation keyshift.dev/repair that was carried out.' }),
        job: text(63),
        at: time(),
        copied: count().meta({ description: 'Missing target keys that were made.' }),
        replaced: count().meta({ description: 'Target keys that differed and are copies of legacy again.' }),
        removed: count().meta({
          description: 'Target keys taken away: no legacy key, or one of another workspace. Kept in Redis for 7 days.',
        }),
        left: count().meta({ description: 'Malformed and foreign keys, which must be put right by hand.' }),
        keys: z.array(text(320)).max(20).meta({ description: 'Some of them.' }),
      })
      .optional()
      .meta({ description: 'The last repair.' }),
    conditions: z
      .array(
        z.object({
          type: text(64),
          status: z.enum(['True', 'False', 'Unknown']),
          reason: text(128),
          message: text(2048),
          lastTransitionTime: time(),
          observedGeneration: count().optional(),
        }),
      )
      .max(16)
      .optional(),
    checks: z
      .array(
        z.object({
          name: text(253),
          outcome: z.enum(['Pass', 'Fail', 'Inconclusive', 'Error']),
          value: text(32).optional(),
          worst: z
            .array(z.object({ labels: text(256), value: text(32) }))
            .max(5)
            .optional(),
          failures: count(),
          carried: z
            .boolean()
            .optional()
            .meta({ description: 'It had not passed when the walk stepped back: failures count once it has.' }),
          message: text(512).optional(),
          query: text(512).optional(),
        }),
      )
      .max(53)
      .optional(),
    jobs: z
      .array(
        z.object({
          name: text(63),
          kind: z.enum(WORK_KINDS),
          state: text(32),
          done: count(),
          total: count().meta({ description: 'Estimate.' }),
          rate: count().meta({ description: 'Keys a second.' }),
          message: text(1024).optional(),
        }),
      )
      .max(10)
      .optional(),
    progressAt: time().optional().meta({ description: 'When counts of worker Jobs were last written here.' }),
    progress: text(32).optional().meta({ description: 'Progress of the worker Job at work, for people.' }),
    writers: z
      .array(text(256))
      .max(20)
      .optional()
      .meta({ description: 'Redis connections that may write jobs and belong to no member, of the last ten minutes.' }),
    observers: z
      .array(text(256))
      .max(20)
      .optional()
      .meta({ description: 'Redis connections that belong to no member and write no jobs, and how that is known.' }),
    history: z
      .array(z.object({ time: time(), from: text(64), to: text(64), epoch: count(), reason: text(256) }))
      .max(20)
      .optional()
      .meta({ description: 'The last 20 transitions.' }),
  })
  .meta({ description: 'What the migration is.' })

export type Status = z.output<typeof StatusSchema>
export type StatusCondition = NonNullable<Status['conditions']>[number]
export type StatusCheck = NonNullable<Status['checks']>[number]
export type StatusJob = NonNullable<Status['jobs']>[number]
export type StatusFailed = NonNullable<Status['failed']>
export type StatusEvidence = NonNullable<Status['evidence']>
export type WorkAccount = z.output<typeof WorkAccount>
export type Proof = z.output<typeof Proof>
