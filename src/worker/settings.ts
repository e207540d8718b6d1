import { z } from 'zod'
import { SECRETS_DIR, WORK_ENV } from '../protocol/work.ts'
import { logLevelText, portText, readSettings, type LogLevel } from '../platform/settings.ts'

export interface WorkerSettings {
  /** Text of KEYSHIFT_WORK. */
  readonly work: string
  readonly logLevel: LogLevel
  /** Serves /metrics, /healthz and /readyz where it is given. */
  readonly metricsPort: number | undefined
  readonly secretsDir: string
  readonly terminationLog: string
}

/** @throws SettingsError */
export function readWorkerSettings(env: Readonly<Record<string, string | undefined>>): WorkerSettings {
  const s = readSettings(
    {
      [WORK_ENV]: z.string(),
      KEYSHIFT_LOG_LEVEL: logLevelText.default('info'),
      KEYSHIFT_METRICS_PORT: portText.optional(),
      KEYSHIFT_SECRETS_DIR: z.string().default(SECRETS_DIR),
      KEYSHIFT_TERMINATION_LOG: z.string().default('/dev/termination-log'),
    },
    env,
  )
  return {
    work: s[WORK_ENV],
    logLevel: s.KEYSHIFT_LOG_LEVEL,
    metricsPort: s.KEYSHIFT_METRICS_PORT,
    secretsDir: s.KEYSHIFT_SECRETS_DIR,
    terminationLog: s.KEYSHIFT_TERMINATION_LOG,
  }
}
