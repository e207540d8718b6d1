import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { startChild, type Child } from '../../../hack/system/child.ts'
import { freePort } from '../../../hack/system/ports.ts'
import { until } from '../../../hack/system/wait.ts'

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
    env: { ...process.env, ...env, PORT: String(port), LAME_DUCK_MS: '0', KEYSHIFT_ROUTING_DIR: join(app, 'routing') },
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
