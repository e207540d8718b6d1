/**
 * Every reason that a condition or an Event can carry, each with what it means and what to do about it.
 * Codes, messages and `docs/reasons.md` come from this one list.
 */
export interface ReasonInfo {
  readonly meaning: string
  readonly action: string
}

export const REASONS = {
  Aborted: {
    meaning: 'A step that had not converged was taken back.',
    action: 'Nothing; the next step waits until every pod runs the routing in force.',
  },
  ActionRefused: {
    meaning:
      'What the operator wanted to do was refused by the API server, for want of a right, by a quota or a policy.',
    action:
      'Put right what the message names: a right of the operator (helm upgrade grants them), a quota, a policy; it is tried again by itself.',
  },
  Adopted: {
    meaning:
      'Status, record or ConfigMap lay behind and was written again from what lay ahead, or a person adopted an epoch.',
    action: 'Nothing, if a restore or a failover explains it; else find out who wrote the old one.',
  },
  AnnotationRefused: {
    meaning: 'An annotation orders what cannot be done as things stand. It is not carried out later either.',
    action: 'Give it a new value when it can be done; see the message.',
  },
  BackfillComplete: { meaning: 'A backfill has gone over all keys, the last pass without a copy.', action: 'Nothing.' },
  BackfillRunning: {
    meaning: 'The jobs that were there before are being copied to the target schema.',
    action: 'Wait; see status.progress.',
  },
  CRDOutdated: {
    meaning: 'The installed CRD lacks fields that this version writes.',
    action: 'Apply the crds/ of this version; helm upgrade does not.',
  },
  CheckError: {
    meaning: 'A check could not be evaluated.',
    action: 'See the message: is Prometheus reachable, is the query right?',
  },
  CheckFailed: {
    meaning: 'A check failed more often than its failureLimit allows; the walk went back or holds.',
    action:
      'Find the cause, then change targetPhase or canaryPercentage, or give the annotation keyshift.dev/retry a new value.',
  },
  CheckFailing: {
    meaning: 'A check fails, within its failureLimit so far.',
    action: 'Look at the application; more failures send the walk back.',
  },
  CheckInconclusive: {
    meaning: 'A check has no usable value.',
    action: 'See the message: is the application scraped, and has it traffic?',
  },
  ChecksDisabled: { meaning: 'slo.disabled is true.', action: 'Nothing; steps wait for their soak alone.' },
  ChecksPass: { meaning: 'Every check passes.', action: 'Nothing.' },
  ChecksPending: { meaning: 'A check has not been measured yet.', action: 'Wait for its interval.' },
  ClockSkew: {
    meaning:
      'The operator and the API server do not agree on the time, so the age of pods and the length of soaks would be told wrong.',
    action: 'Nothing is done for the resource, in either direction, until the clocks are less than a minute apart.',
  },
  ConfigMapContested: {
    meaning: 'Another field manager keeps taking back the routing document.',
    action: 'Leave the keys of Keyshift out of what it manages; then they are written again by themselves.',
  },
  ConfigMapImmutable: {
    meaning: 'The ConfigMap of the routing document is immutable.',
    action:
      'Delete it, it is made again at once; then restart the pods that mount it: an immutable one is never read again. Leave immutable out of the manifest.',
  },
  ConfigMapReverted: {
    meaning: 'Another field manager took back the routing document; it is written again.',
    action: 'Leave the keys of Keyshift out of what it manages.',
  },
  ConfigMapUnknown: {
    meaning: 'The ConfigMap of the routing document cannot be read.',
    action: 'See the message; check the Role of the operator.',
  },
  Converged: { meaning: 'Every pod runs the routing in force.', action: 'Nothing.' },
  EvidenceVoid: {
    meaning: 'What was proven of the data holds no more, or cannot be proven yet.',
    action: 'Nothing, it is proven again; see the message for why.',
  },
  FenceNotConfirmed: {
    meaning: 'Not every connected replica of Redis has the fence yet. One that has not could be promoted without it.',
    action:
      'See INFO replication of the primary: a full sync must end (raise client-output-buffer-limit of replicas and repl-backlog-size where it begins again and again), a replica that lags must catch up, or be stopped; then it goes on by itself.',
  },
  FirstPublished: {
    meaning: 'Epoch 1 was published; it routes as before.',
    action: 'Release the application with the client.',
  },
  ForeignWriters: {
    meaning: 'Redis connections that may write jobs belong to no client of Keyshift.',
    action: 'Stop them, give them the client, or, if they write no jobs, name them in redis.observers.',
  },
  HeldByOther: {
    meaning:
      'Another JobKeyMigration has the same ConfigMap, or the same keys in the same Redis. The one that is at work there goes first, else the older one; the other writes nothing.',
    action:
      'Give this resource an app.configMapName or keys of its own, or delete one of the two; what a deleted one has left can be adopted by annotation.',
  },
  IllegalIds: {
    meaning: 'Clients use ids that the target schema cannot hold.',
    action: 'Give these jobs other ids, or choose a target template with another delimiter.',
  },
  InvalidSpec: { meaning: 'The spec cannot be obeyed.', action: 'Correct the field that the message names.' },
  JobFailed: {
    meaning: 'A worker Job ended without a result several times.',
    action: 'Find the cause in its logs, then give the annotation keyshift.dev/retry a new value.',
  },
  JobEnded: {
    meaning: 'A worker Job was done, and containers that are none of Keyshift kept it from ending.',
    action: 'Nothing; to spare the wait, keep sidecars out of the Jobs of Keyshift.',
  },
  JobPending: {
    meaning: 'A worker Job cannot start, its pod fails, or its worker has stood still for five minutes.',
    action: 'See the message: is there room, can its image be pulled, may its pod be made, is its node alive?',
  },
  JobRetry: {
    meaning: 'A worker Job ended without a result and is tried again.',
    action: 'Wait, or look at its logs.',
  },
  JobsUnknown: {
    meaning: 'The worker Jobs cannot be listed. No step forward is taken meanwhile; a step back is.',
    action: 'See the message; check the API server and the Role of the operator.',
  },
  KubernetesRightsMissing: {
    meaning: 'The operator lacks a right at the API server, and can do nothing without.',
    action: 'Grant it, as the role of the chart does (helm upgrade): the message names verb, resource and namespace.',
  },
  KubernetesUnavailable: {
    meaning:
      'The API server does not answer what the operator must know, or with an error. Nothing is changed meanwhile.',
    action: 'Wait; if it lasts, see the API server, its webhooks and the network.',
  },
  MembersBehind: {
    meaning: 'Clients do not run the routing in force yet.',
    action: 'Wait; if it lasts, see the logs of the pods named.',
  },
  NoLegacyKeys: {
    meaning: 'Backfill or verify met not one legacy key, which proves nothing.',
    action:
      'Was the data of Redis lost? Restore it, then give the annotation keyshift.dev/retry a new value. Where it is meant to be empty, set keys.allowEmpty: true.',
  },
  NoMembers: {
    meaning: 'No pod with the Keyshift client has been seen.',
    action: 'Release the application with the client and the routing ConfigMap mounted.',
  },
  NotPaused: { meaning: 'spec.paused is false.', action: 'Nothing.' },
  NotStarted: { meaning: 'The walk has not come that far.', action: 'Nothing.' },
  OperatorFault: {
    meaning: 'The operator failed by a fault of its own.',
    action: 'See its log for this resource and report it; it is tried again by itself.',
  },
  Paused: {
    meaning: 'spec.paused is true: no step is taken, Jobs are suspended.',
    action: 'Set spec.paused to false to go on.',
  },
  PodsJoining: {
    meaning: 'Pods have not registered their client yet.',
    action: 'Wait; if it lasts, see the pods named.',
  },
  PodsLapsed: {
    meaning: 'Clients of running pods have let their lease lapse.',
    action: 'Wait for joinTimeout; see the logs of the pods named.',
  },
  PodsUnknown: {
    meaning: 'Pods cannot be listed.',
    action: 'See the message; check the API server and the Role of the operator.',
  },
  PodsVanished: {
    meaning:
      'Pods were gone before a client of their template registered. When joinTimeout is over they count as pods without the client, unless a pod of their template has registered by then.',
    action: 'Wait for joinTimeout; if their image has no client, do not bring it back.',
  },
  PreflightBlocked: {
    meaning: 'Preflight found what must be put right first.',
    action: 'Change the spec, or put right what is named, and then give the annotation keyshift.dev/retry a new value.',
  },
  PreflightPassed: {
    meaning: 'Preflight found no blocker.',
    action: 'Read its warnings; docs/reasons.md has what to do about each.',
  },
  PreflightRunning: { meaning: 'Preflight looks at Redis and its keys.', action: 'Wait; see status.progress.' },
  Publishing: { meaning: 'A routing document is being written.', action: 'Wait.' },
  PurgeRunning: {
    meaning: 'Target keys that an earlier run left are being deleted.',
    action: 'Wait; see status.progress.',
  },
  Purged: { meaning: 'Target keys that an earlier run left were deleted.', action: 'Nothing.' },
  RaisingFence: {
    meaning: 'Older epochs are being shut out before the next step.',
    action: 'Wait; if it lasts, are all replicas of Redis connected?',
  },
  RecordRefused: {
    meaning: 'The record of the migration in Redis is not as it was read a moment ago, and was not written over.',
    action:
      'Nothing, if it passes: the next pass goes by what is there. Else look for a second operator on the same Redis, or for what writes the key that is named.',
  },
  RedisAuthFailed: {
    meaning: 'Redis refused the credentials.',
    action: 'Correct the Secret of redis.credentialsSecretRef, or name one.',
  },
  RedisBusy: {
    meaning: 'A long script that is not of Keyshift holds Redis. Nothing is changed meanwhile.',
    action: 'Wait, or end that script with SCRIPT KILL.',
  },
  RedisCannotSave: {
    meaning: 'Redis refuses writes because it cannot write its snapshot or AOF (MISCONF).',
    action: 'See the log of Redis and its disk.',
  },
  RedisDataLost: {
    meaning: 'Redis came back without its data, or was emptied. Routing stays, and record and fence are written again.',
    action:
      'Restore the jobs from a backup, or accept the loss; then give the annotation keyshift.dev/retry a new value.',
  },
  RedisLoading: { meaning: 'Redis loads its data after a restart. Nothing is changed meanwhile.', action: 'Wait.' },
  RedisNotPrimary: {
    meaning: 'The Redis that answers is a replica, or a primary that a failover left behind.',
    action: 'With redis.address: point it at the primary. With redis.sentinel: wait for the failover.',
  },
  RedisOutOfMemory: {
    meaning: 'Redis uses more than maxmemory and takes no writes that need more. The application is refused too.',
    action: 'Raise maxmemory, or free memory.',
  },
  RedisRefused: {
    meaning: 'Redis refused a command.',
    action:
      'Correct spec.redis (address, db, credentials), or the server, as its answer says; it is tried again by itself.',
  },
  RedisRightsMissing: {
    meaning: 'A Redis user lacks rights.',
    action: 'Grant what the message names; docs/redis-users.md has all rights of each user.',
  },
  RedisTooFewReplicas: {
    meaning: 'Redis refuses writes because fewer replicas are connected than min-replicas-to-write.',
    action: 'Bring the replicas back, or lower min-replicas-to-write.',
  },
  RedisTooManyClients: {
    meaning: 'Redis takes no more connections.',
    action: 'Raise maxclients, or close connections.',
  },
  RedisSentinelFailed: {
    meaning: 'The Sentinels do not say where the primary is, or name one that cannot be reached.',
    action: 'See the message for what each one answered; correct redis.sentinel, or bring the Sentinels back.',
  },
  RedisTlsFailed: {
    meaning: 'TLS with Redis or a Sentinel fails: another CA, another name, or one side speaks none.',
    action: 'See the message; correct redis.tls, its Secrets, or the server. Secrets are read again by themselves.',
  },
  RedisUnreachable: {
    meaning: 'Redis cannot be reached. Nothing is changed meanwhile.',
    action: 'Check redis.address or redis.sentinel, the network and Redis.',
  },
  Redocumented: {
    meaning: 'The routing document was published anew because the spec changed what else it says.',
    action: 'Nothing.',
  },
  RepairRunning: {
    meaning: 'The target keys are being made equal to the legacy keys.',
    action: 'Wait; see status.progress.',
  },
  Repaired: {
    meaning: 'The target keys were made equal to the legacy keys; verify runs again.',
    action: 'See status.repaired; what was taken away stays in Redis for 7 days.',
  },
  SecretMissing: {
    meaning: 'A Secret, or a key in it, does not exist.',
    action: 'Create it; it is read again by itself.',
  },
  SecretUnreadable: { meaning: 'A Secret cannot be read.', action: 'See the message; check the Role of the operator.' },
  Soaking: { meaning: 'The step must stay healthy until its soak ends.', action: 'Wait; see status.soakEndsAt.' },
  StateConflict: {
    meaning:
      'Status, record, ConfigMap and fence contradict each other, or another resource or cluster holds the record.',
    action: 'Find out which is right, then adopt an epoch by the annotation keyshift.dev/adopt-epoch.',
  },
  StepDue: {
    meaning: 'The state in force is done; pods and members are listed once more before the step.',
    action: 'Wait.',
  },
  StepTaken: { meaning: 'The next routing state was published.', action: 'Nothing.' },
  SteppedBack: { meaning: 'The routing state before was published.', action: 'Nothing.' },
  SteppingBack: { meaning: 'A step back waits for the clients to follow, at most for joinTimeout.', action: 'Wait.' },
  TargetReached: {
    meaning: 'The routing state that the spec asks for is in force and settled.',
    action: 'Raise targetPhase or canaryPercentage when you like.',
  },
  UnawarePod: {
    meaning: 'A pod runs, or ran, without the Keyshift client.',
    action:
      'Release the workload with the client, or remove the pod; if the walk went back for it, then change targetPhase or canaryPercentage, or give the annotation keyshift.dev/retry a new value.',
  },
  Unlatched: { meaning: 'A failure was answered; the walk goes on.', action: 'Nothing.' },
  Verified: { meaning: 'Verify compared the keys of both schemas and found no difference.', action: 'Nothing.' },
  VerifyFailed: {
    meaning: 'Verify found differences between the schemas.',
    action:
      'Set the annotation keyshift.dev/repair as the message says; or put the keys right by hand and give keyshift.dev/retry a new value.',
  },
  VerifyRunning: { meaning: 'Verify compares the keys of both schemas.', action: 'Wait; see status.progress.' },
  WorkloadMissing: {
    meaning: 'A workload of spec.app.workloads does not exist.',
    action: 'Correct the name, create it, or take it out.',
  },
  WorkloadsUnknown: {
    meaning: 'A workload of spec.app.workloads cannot be read.',
    action: 'See the message; check the API server and the Role of the operator.',
  },
  WritersUnknown: {
    meaning: 'Who else writes to Redis cannot be told.',
    action: 'Make sure that nobody but the workloads listed writes jobs, then add "*" to redis.observers.',
  },
} as const satisfies Record<string, ReasonInfo>

export type Reason = keyof typeof REASONS
