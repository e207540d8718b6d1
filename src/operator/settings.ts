import { hostname } from 'node:os'
import { z } from 'zod'
import { integerText, logLevelText, portText, readSettings, type LogLevel } from '../platform/settings.ts'

/** Environment of the operator; the chart sets each of them. */
const SHAPE = {
  /** Image of the worker Jobs: the operator's own. */
  KEYSHIFT_IMAGE: z.string().min(1),
  KEYSHIFT_IMAGE_PULL_POLICY: z.enum(['Always', 'IfNotPresent', 'Never']).default('IfNotPresent'),
  /** Comma-separated namespaces to watch; all when absent. */
  KEYSHIFT_NAMESPACES: z.string().optional(),
  /** Name of the Lease. */
  KEYSHIFT_LEASE: z.string().min(1).default('keyshift-operator'),
  /** Port of /metrics, /healthz and /readyz. */
  KEYSHIFT_PORT: portText.default(8080),
  KEYSHIFT_LOG_LEVEL: logLevelText.default('info'),
  /** Resources reconciled at the same time. */
  KEYSHIFT_WORKERS: integerText(1, 64).default(4),
  POD_NAME: z.string().optional(),
  POD_NAMESPACE: z.string().optional(),
}

export interface OperatorSettings {
  readonly image: string
  readonly pullPolicy: 'Always' | 'IfNotPresent' | 'Never'
  /** Empty: all. */
  readonly namespaces: readonly string[]
  readonly lease: string
  readonly port: number
  readonly logLevel: LogLevel
  readonly workers: number
  readonly podName: string
  /** Undefined outside a pod: then that of the kubeconfig's context. */
  readonly podNamespace: string | undefined
}

/** @throws SettingsError naming every variable at fault */
export function operatorSettings(env: Readonly<Record<string, string | undefined>>): OperatorSettings {
  const read = readSettings(SHAPE, env)
  return {
    image: read.KEYSHIFT_IMAGE,
    pullPolicy: read.KEYSHIFT_IMAGE_PULL_POLICY,
    namespaces: (read.KEYSHIFT_NAMESPACES ?? '')
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== ''),
    lease: read.KEYSHIFT_LEASE,
    port: read.KEYSHIFT_PORT,
    logLevel: read.KEYSHIFT_LOG_LEVEL,
    workers: read.KEYSHIFT_WORKERS,
    podName: read.POD_NAME ?? hostname(),
    podNamespace: read.POD_NAMESPACE,
  }
}
