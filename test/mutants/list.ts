/**
 * One-line breakages of the product that some test must notice. Each stands for a kind of mistake that would lose, age,
 * revive or leak a job, or let the walk move without proof.
 */
export interface Mutant {
  /** What the broken code does. */
  readonly name: string
  /** From the root of the repository. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
  /** Where it must be noticed: a project of jest, and patterns of its test files. */
  readonly suite: 'unit' | 'property' | 'model' | 'integration'
  readonly tests: readonly string[]
}

const LUA = 'src/redis/lua'
/** Every operation under every routing on every state of a job's keys, on a real Redis. */
const TABLE = { suite: 'model', tests: ['model/lua'] } as const
const MODEL = { suite: 'model', tests: ['model/protocol'] } as const
const DECISION = { suite: 'unit', tests: ['unit/decision'] } as const

export const MUTANTS: readonly Mutant[] = [
  // Scripts: what an operation on a job does
  {
    name: 'the fence lets an older epoch pass',
    file: `${LUA}/lib/fence.lua`,
    find: "if epoch < fence then return 'STALE_EPOCH'",
    replace: "if epoch + 1 < fence then return 'STALE_EPOCH'",
    suite: 'integration',
    tests: ['client/refusals'],
  },
  {
    name: 'an absent fence is accepted by every epoch',
    file: `${LUA}/lib/fence.lua`,
    find: 'if epoch <= 1 then return nil end',
    replace: 'if epoch <= 1e9 then return nil end',
    suite: 'integration',
    tests: ['client/refusals'],
  },
  {
    name: 'a job of another workspace counts as the own',
    file: `${LUA}/lib/job.lua`,
    find: "if stored == workspace then return 'mine' end",
    replace: "if usable_id(stored, forbidden) then return 'mine' end",
    ...TABLE,
  },
  {
    name: 'a write touches only the key that reads come to first',
    file: `${LUA}/lib/job.lua`,
    find: "if target_here and (legacy_here or order ~= 'L') then",
    replace: "if target_here and (not legacy_here) and order ~= 'L' then",
    ...TABLE,
  },
  {
    name: 'create does not ask whether the job exists',
    file: `${LUA}/job-create.lua`,
    find: "if state.status == 'OK' then return answer('EXISTS') end",
    replace: '',
    ...TABLE,
  },
  {
    name: 'create leaves a stray target as it is',
    file: `${LUA}/job-create.lua`,
    find: "local to_target = has_target and (ARGV[8] == '1' or state.target == 'mine')",
    replace: "local to_target = has_target and ARGV[8] == '1'",
    ...TABLE,
  },
  {
    name: 'the target is made before the legacy key has its expiry',
    file: `${LUA}/job-create.lua`,
    find: "if at ~= '' then redis.call('PEXPIREAT', LEGACY, at) end\n",
    replace: '',
    suite: 'integration',
    tests: ['client/values'],
  },
  {
    name: 'an update that compares looks at nothing',
    file: `${LUA}/job-update.lua`,
    find: "if not holds then return answer('CONFLICT', ARGV[i]) end",
    replace: '',
    suite: 'integration',
    tests: ['client/values'],
  },
  {
    name: 'a new text drops the expiry',
    file: `${LUA}/job-update-text.lua`,
    find: "do redis.call('SET', key, ARGV[10], 'KEEPTTL') end",
    replace: "do redis.call('SET', key, ARGV[10]) end",
    suite: 'integration',
    tests: ['client/values'],
  },
  {
    name: 'a write is not asked for all its rights before it begins',
    file: `${LUA}/lib/job.lua`,
    find: 'return missing_right(list)',
    replace: 'return nil',
    suite: 'integration',
    tests: ['client/refusals'],
  },
  {
    name: 'a repeat with the same operation id does it again',
    file: `${LUA}/lib/job.lua`,
    find: 'if not kept[1] then return nil end',
    replace: 'if true then return nil end',
    suite: 'integration',
    tests: ['client/operations'],
  },
  {
    name: 'a fallback read is not counted',
    file: `${LUA}/job-get.lua`,
    find: "    redis.call('INCR', KEYS[6])\n",
    replace: '',
    suite: 'integration',
    tests: ['client/values'],
  },
  // Scripts: control and workers
  {
    name: 'the fence can be lowered',
    file: `${LUA}/control-raise-fence.lua`,
    find: '(fence == nil or fence < tonumber(ARGV[1]))',
    replace: '(true)',
    suite: 'integration',
    tests: ['redis/control'],
  },
  {
    name: 'an older record overwrites a newer one',
    file: `${LUA}/control-write-record.lua`,
    find: "if atEpoch > newEpoch then return { 'NEWER', epoch, tostring(atRevision) } end",
    replace: '',
    suite: 'integration',
    tests: ['redis/control'],
  },
  {
    name: 'another resource takes the record over',
    file: `${LUA}/control-write-record.lua`,
    find: 'if not takeOver and (cluster ~= ARGV[4] or owner ~= ARGV[5]) then',
    replace: 'if not takeOver and cluster ~= ARGV[4] then',
    suite: 'integration',
    tests: ['redis/control'],
  },
  {
    name: 'backfill overwrites a target that is there',
    file: `${LUA}/worker-backfill-batch.lua`,
    find: "    count('present')\n",
    replace: "    redis.call('COPY', key, target_key(workspace, job), 'REPLACE')\n    count('present')\n",
    suite: 'integration',
    tests: ['worker/backfill'],
  },
  {
    name: 'verify takes two expiries for one',
    file: `${LUA}/lib/worker-compare.lua`,
    find: "if redis.call('PEXPIRETIME', left) ~= redis.call('PEXPIRETIME', right) then return 'expiry' end",
    replace: '',
    suite: 'integration',
    tests: ['worker/verify'],
  },
  {
    name: 'verify does not count a target without a legacy key',
    file: `${LUA}/lib/worker-findings.lua`,
    find: "if legacy_kind == 'none' then return on.found('orphan'",
    replace: "if legacy_kind == 'none' then return 1 or on.found('orphan'",
    suite: 'integration',
    tests: ['worker/verify'],
  },
  {
    name: 'a worker claims a result of a pass that has not ended',
    file: `${LUA}/worker-finish.lua`,
    find: "if known[2] ~= '1' or known[5] ~= ARGV[5]",
    replace: 'if known[5] ~= ARGV[5]',
    suite: 'integration',
    tests: ['worker/backfill', 'worker/verify', 'worker/process'],
  },
  {
    name: 'purge deletes a key whose value names another workspace',
    file: `${LUA}/worker-purge-batch.lua`,
    find: '  if stored ~= workspace then return end\n',
    replace: '',
    suite: 'integration',
    tests: ['worker/purge'],
  },
  {
    name: 'repair keeps nothing of what it replaces',
    file: `${LUA}/worker-repair-batch.lua`,
    find: "  redis.call('COPY', target, kept)\n",
    replace: '',
    suite: 'integration',
    tests: ['worker/repair'],
  },
  // Protocol and gate
  {
    name: 'reads of BackfillVerify have no fallback',
    file: 'src/protocol/phases.ts',
    find: 'readTarget: 100,\n    fallback: true,',
    replace: 'readTarget: 100,\n    fallback: false,',
    ...MODEL,
  },
  {
    name: 'a forward step does not wait for the pods',
    file: 'src/decision/gates.ts',
    find: 'return convergence.converged === true ? undefined : notConverged(convergence, doc)',
    replace: 'return convergence.converged !== false ? undefined : notConverged(convergence, doc)',
    ...DECISION,
  },
  {
    name: 'a step out of Legacy does not ask for illegal ids',
    file: 'src/decision/gates.ts',
    find: 'if (seen === 0 || (ageMs !== undefined && ageMs >= windowMs)) return undefined',
    replace: 'if (seen === 0 || ageMs !== undefined) return undefined',
    ...DECISION,
  },
  {
    name: 'checks that were never measured pass',
    file: 'src/decision/gates.ts',
    find: 'if (scene.checks.length === 0 || allPass(scene.checks, scene.observations.latest)) return undefined',
    replace: 'if (scene.checks.length === 0 || scene.observations.latest.length === 0) return undefined',
    ...DECISION,
  },
  {
    name: 'ReadRouting is entered beside foreign writers',
    file: 'src/decision/gates.ts',
    find: 'if (writers.value.length === 0) return undefined',
    replace: 'if (writers.value.length >= 0) return undefined',
    ...DECISION,
  },
  {
    name: 'a pod without the client is forgotten once it has ended',
    file: 'src/decision/pods.ts',
    find: "if (ended) return 'unaware'",
    replace: "if (ended) return 'ended'",
    ...DECISION,
  },
  // Evidence
  {
    name: 'evidence stays when creates fall below 100 %',
    file: 'src/decision/evidence.ts',
    find: 'if (state.createTarget < 100) return undefined',
    replace: 'if (state.createTarget < 1) return undefined',
    suite: 'model',
    tests: ['model/protocol'],
  },
  {
    name: 'work on another lineage of Redis stands',
    file: 'src/decision/evidence.ts',
    find: 'work.lineage === evidence.lineage && ',
    replace: '',
    ...DECISION,
  },
  {
    name: 'work begun before all creates were on both schemas stands',
    file: 'src/decision/evidence.ts',
    find: ' && work.epoch >= evidence.baseEpoch',
    replace: '',
    ...DECISION,
  },
  // Soak
  {
    name: 'a window that did not pass earns soak',
    file: 'src/decision/soak.ts',
    find: 'window.passed ? resume(covered, window.start) : holdSoak(covered, window.start)',
    replace: 'resume(covered, window.start)',
    ...DECISION,
  },
  {
    name: 'time without history earns soak',
    file: 'src/decision/soak.ts',
    find: 'endsAt: account.endsAt + gapMs }',
    replace: 'endsAt: account.endsAt }',
    ...DECISION,
  },
  {
    name: 'a soak is earned before it is judged to its end',
    file: 'src/decision/soak.ts',
    find: 'account.endsAt <= Math.max(through, account.countedThrough ?? 0)',
    replace: 'account.endsAt <= input.now',
    ...DECISION,
  },
  // Failure and state
  {
    name: 'a failure in BackfillVerify walks back to Legacy',
    file: 'src/decision/failure.ts',
    find: "return phase === 'ReadRouting' || phase === 'BackfillVerify' ? 'DualWrite' : 'Legacy'",
    replace: "return phase === 'ReadRouting' ? 'DualWrite' : 'Legacy'",
    ...DECISION,
  },
  {
    name: 'a latched failure does not bound the walk',
    file: 'src/decision/walk.ts',
    find: 'return compareStates(safe, asked) < 0 ? safe : asked',
    replace: 'return asked',
    ...DECISION,
  },
  {
    name: 'a fence above everything known is no contradiction',
    file: 'src/decision/truth.ts',
    find: 'if (fence !== undefined && fence > epoch) return',
    replace: 'if (fence !== undefined && fence > epoch + 1) return',
    ...DECISION,
  },
  // Client
  {
    name: 'a member reports its epoch while older operations are in flight',
    file: 'src/client/inflight.ts',
    find: 'return Math.min(current, ...this.#counts.keys())',
    replace: 'return current',
    suite: 'unit',
    tests: ['client/inflight'],
  },
  {
    name: 'a write of unknown outcome is sent again',
    file: 'src/client/engine.ts',
    find: 'error instanceof UnknownOutcome && (op.read || op.remembered === true)',
    replace: 'error instanceof UnknownOutcome',
    suite: 'unit',
    tests: ['client/engine'],
  },
  {
    name: 'a write whose deadline has passed may still reach Redis',
    file: 'src/redis/line.ts',
    find: 'if (!call.read) this.#onLost(new Error(message))',
    replace: '',
    suite: 'integration',
    tests: ['redis/connection'],
  },
  {
    name: "another call's reply is believed",
    file: 'src/redis/scripts.ts',
    find: 'if (!Array.isArray(reply) || text(reply[0]) !== token) {',
    replace: 'if (!Array.isArray(reply)) {',
    suite: 'integration',
    tests: ['client/crossed'],
  },
  {
    name: 'a job id is not judged where its workspace is odd',
    file: 'src/client/routing.ts',
    find: "[this.#check('workspace id', workspaceId), this.#check('job id', jobId)]",
    replace: "[this.#check('workspace id', workspaceId) ?? this.#check('job id', jobId)]",
    suite: 'integration',
    tests: ['client/identity'],
  },
  {
    name: "an entry that reads as another job's is queued",
    file: 'src/client/jobs.ts',
    find: ".form === 'pair')",
    replace: ".form === 'malformed')",
    suite: 'integration',
    tests: ['client/identity'],
  },
  {
    name: 'a lower epoch in the mounted directory is followed',
    file: 'src/client/routing-source.ts',
    find: 'doc.epoch < current.epoch',
    replace: 'doc.epoch < 0',
    suite: 'integration',
    tests: ['client/mounted'],
  },
  // Sentinel and TLS
  {
    name: 'a newer routing is taken without asking the Sentinels whether this is still the primary',
    file: 'src/client/adoption.ts',
    find: 'if (this.#followed && this.#options.connection.hasSentinels)',
    replace: 'if (this.#followed && this.#options.connection.hasSentinels && doc.epoch < 0)',
    suite: 'unit',
    tests: ['client/adoption'],
  },
  {
    name: 'a document that came while the Sentinels were asked is taken on their older answer',
    file: 'src/client/adoption.ts',
    find: 'this.#options.follow(asked)',
    replace: 'this.#options.follow(this.#next)',
    suite: 'unit',
    tests: ['client/adoption'],
  },
  {
    name: 'a fence counts that was raised on a primary which a failover left behind',
    file: 'src/redis/control.ts',
    find: '  await c.confirmPrimary(options)\n',
    replace: '',
    suite: 'integration',
    tests: ['redis/sentinel'],
  },
  {
    name: 'a primary that the Sentinels no longer name is trusted on',
    file: 'src/redis/primary.ts',
    find: 'if (now === undefined || !hasMoved(at, now)) return true',
    replace: 'if (now !== at) return true',
    suite: 'integration',
    tests: ['redis/sentinel'],
  },
  {
    name: 'a replica is as good as a primary',
    file: 'src/redis/handshake.ts',
    find: "if (role !== 'master') throw",
    replace: "if (role === 'none') throw",
    suite: 'integration',
    tests: ['redis/sentinel'],
  },
  {
    name: 'whoever answers in TLS is trusted',
    file: 'src/redis/tls.ts',
    find: '      host: to.host,\n',
    replace: '      host: to.host,\n      rejectUnauthorized: false,\n',
    suite: 'integration',
    tests: ['redis/tls'],
  },
]
