import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { ensureBinaries } from '../../../hack/binaries/build.ts'
import { silent } from '../../../hack/system/log.ts'
import { repoRoot } from '../../../hack/system/paths.ts'
import { tryRun, type RunResult } from '../../../hack/system/run.ts'

export const CHART = join(repoRoot, 'charts', 'keyshift')
/** Building helm takes minutes, once. */
export const HELM_LIMIT_MS = 900_000

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> }
  readonly [field: string]: unknown
}

export async function helm(...args: string[]): Promise<RunResult> {
  const { tools } = await ensureBinaries(['tools'], silent)
  return tryRun(join(tools, 'helm'), args, { limitMs: 60_000 })
}

/** `values`: as for `--set`. @throws what helm says */
export async function render(namespace: string, ...values: string[]): Promise<readonly Manifest[]> {
  const set = values.flatMap((value) => ['--set-json', value])
  const { code, stdout, stderr } = await helm('template', 'keyshift', CHART, '--namespace', namespace, ...set)
  if (code !== 0) throw new Error(stderr)
  return parseAllDocuments(stdout).flatMap((document) => (document.toJS() as Manifest | null) ?? [])
}
