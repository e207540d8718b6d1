/** Settings of the app, all from the environment. */
export function readSettings(env) {
  const mode = process.argv[2] ?? env.MODE ?? 'api'
  if (mode !== 'api' && mode !== 'worker') throw new Error(`mode ${mode}: give api or worker`)
  const encoding = env.ENCODING ?? 'hash'
  if (encoding !== 'hash' && encoding !== 'json') throw new Error(`ENCODING=${encoding}: set hash or json`)
  if (mode === 'worker' && !env.QUEUE) throw new Error('a worker needs QUEUE')
  return {
    mode,
    encoding,
    queue: env.QUEUE,
    port: Number(env.PORT ?? 8080),
    redis: env.REDIS_ADDRESS ?? 'redis://127.0.0.1:6379/0',
    username: env.REDIS_USERNAME,
    password: env.REDIS_PASSWORD,
    routingDir: env.KEYSHIFT_ROUTING_DIR ?? '/etc/keyshift/routing',
    legacy: env.LEGACY_TEMPLATE ?? 'ai:job:{job_id}',
    target: env.TARGET_TEMPLATE ?? 'ai:job:{workspace_id}:{job_id}',
    podUid: env.POD_UID ?? `local-${process.pid}`,
    podName: env.POD_NAME ?? `local-${process.pid}`,
    /** Longer than a restart of Redis takes, shorter than callers wait: until then the client tries again what is safe to try again. */
    deadlineMs: Number(env.DEADLINE_MS ?? 15_000),
    concurrency: Number(env.CONCURRENCY ?? 4),
    /** How long a worker may hold a job: so long it stays undone when the worker dies. */
    leaseMs: Number(env.LEASE_MS ?? 15_000),
    /** How long the process still answers after SIGTERM, so that no caller with an old address is refused. */
    lameDuckMs: Number(env.LAME_DUCK_MS ?? 2000),
  }
}
