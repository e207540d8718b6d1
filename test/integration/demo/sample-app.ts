import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startChild, type Child } from '../../../hack/system/child.ts'
import { freePort } from '../../../hack/system/ports.ts'
import { until } from '../../../hack/system/wait.ts'
import { ROUTING_FILE, makeDocument, renderDocument } from '../../../src/protocol/document.ts'
import { routingState } from '../../../src/protocol/phases.ts'

const root = process.cwd()

/** A copy of the sample app with the built client package and its peers installed, as `npm install` would leave it. */
export function installSampleApp(dir: string): string {
  const built = join(root, 'dist/client')
  if (!existsSync(join(built, 'package.json'))) throw new Error('dist/client is missing: npm run build makes it')
  const app = join(dir, 'sample-app')
  cpSync(join(root, 'examples/sample-app'), app, { recursive: true })
  mkdirSync(join(app, 'node_modules/@keyshift'), { recursive: true })
  cpSync(built, join(app, 'node_modules/@keyshift/client'), { recursive: true })
  for (const peer of ['ioredis', 'prom-client'])
    symlinkSync(join(root, 'node_modules', peer), join(app, 'node_modules', peer))
  return app
}

export interface AppProcess {
  readonly base: string
  readonly child: Child
}

export async function startApp(app: string, mode: 'api' | 'worker', env: Record<string, string>): Promise<AppProcess> {
  const port = await freePort()
  const logFile = join(app, `${mode}-${port}.log`)
  const child = startChild({
    name: `sample app ${mode}`,
    command: process.execPath,
    args: ['main.js', mode],
    cwd: app,
    env: { ...process.env, ...env, PORT: String(port), LAME_DUCK_MS: '0' },
    logFile,
    diesWithParent: true,
  })
  const base = `http://127.0.0.1:${port}`
  const ready = async () => ((await fetch(`${base}/readyz`)).ok ? true : undefined)
  await until(`sample app ${mode}`, ready, {
    limitMs: 20_000,
    everyMs: 50,
    look: logFile,
    hopeless: () => child.lost(),
  })
  return { base, child }
}

/** A folder as the routing ConfigMap is mounted: every new job goes to both schemas. Epoch 1 needs no fence, so no operator. */
export function dualWriteRouting(dir: string, queues: readonly string[]): string {
  const [legacy, target] = ['ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}']
  const input = { name: 'ai-jobs', canaryBy: 'Job', legacy, target, workspaceField: 'workspace_id', queues } as const
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, ROUTING_FILE), renderDocument(makeDocument(input, routingState('DualWrite', 2, 100), 1)))
  return dir
}
