import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { KubeClient } from '../../../src/kube/client.ts'
import { isNotFound } from '../../../src/kube/errors.ts'
import { JOBS, SECRETS } from '../../../src/kube/resources.ts'
import type { Container, Job, Secret } from '../../../src/kube/types.ts'
import { SECRETS_DIR } from '../../../src/protocol/work.ts'
import { expectNoCrash } from './crashes.ts'

interface PodVolumes {
  readonly volumes?: readonly {
    readonly name: string
    readonly secret: {
      readonly secretName: string
      readonly items?: readonly { readonly key: string; readonly path: string }[]
    }
  }[]
  readonly containers?: readonly {
    readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[]
  }[]
}

const SOURCES = join(import.meta.dirname, '../../../src')

/** Stands in for Job controller and kubelet: runs the worker program of each Job as a child and writes the Job's status. */
export class JobRunner {
  readonly #client: KubeClient
  readonly #namespace: string
  readonly #taken = new Set<string>()
  readonly #running = new Set<Promise<void>>()
  readonly #mounts = new Map<string, Job>()
  /** Names of Jobs in the order in which they ended. */
  readonly ended: string[] = []
  /** True: new Jobs wait. */
  hold = false
  /** What workers find besides in their environment, such as the folder where a Secret is mounted. */
  env: Readonly<Record<string, string>> = {}
  /** What the workers wrote. */
  output = ''
  /** Worker processes so far, by the name of their Job. */
  readonly workers = new Map<string, ChildProcess>()

  constructor(client: KubeClient, namespace: string) {
    this.#client = client
    this.#namespace = namespace
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { items } = await this.#client.list<Job>(JOBS, { namespace: this.#namespace })
      for (const job of items) {
        const uid = job.metadata.uid ?? ''
        if (this.hold || job.spec?.suspend === true || this.#taken.has(uid)) continue
        this.#taken.add(uid)
        const work = this.#execute(job, signal).finally(() => this.#running.delete(work))
        this.#running.add(work)
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    await Promise.all(this.#running)
    expectNoCrash(this.output)
  }

  /** Brings mounted Secrets up to date, as kubelet does within a minute. */
  async remount(): Promise<void> {
    await Promise.all([...this.#mounts].map(([dir, job]) => this.#mount(job, dir)))
  }

  async #execute(job: Job, signal: AbortSignal): Promise<void> {
    const [container] = job.spec?.template.spec.containers ?? []
    const command =
      (container?.['command'] as string[])[1]?.replace('/app/dist/app', SOURCES).replace(/js$/, 'ts') ?? ''
    const startTime = new Date().toISOString()
    const secrets = mkdtempSync(join(tmpdir(), 'keyshift-secrets-'))
    await this.#mount(job, secrets)
    this.#mounts.set(secrets, job)
    const child = spawn(process.execPath, [command], {
      env: { ...envOf(container), KEYSHIFT_TERMINATION_LOG: '/dev/null', KEYSHIFT_SECRETS_DIR: secrets, ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (this.output += text))
    this.workers.set(job.metadata.name ?? '', child)
    const kill = () => void child.kill('SIGKILL')
    signal.addEventListener('abort', kill)
    const [code] = (await once(child, 'exit')) as [number | null]
    signal.removeEventListener('abort', kill)
    this.#mounts.delete(secrets)
    rmSync(secrets, { recursive: true })
    if (signal.aborted) return
    // The operator may have deleted it meanwhile, as one whose result is void.
    await this.#finish(job, code === 0, startTime).catch((error: unknown) => {
      if (!isNotFound(error)) throw error
    })
    this.ended.push(job.metadata.name ?? '')
  }

  /** Puts the Secrets of the pod where they are mounted, below `dir` in place of SECRETS_DIR. */
  async #mount(job: Job, dir: string): Promise<void> {
    const { volumes = [], containers = [] } = job.spec?.template.spec as unknown as PodVolumes
    for (const { name, mountPath } of containers[0]?.volumeMounts ?? []) {
      const { secretName = '', items } = volumes.find((volume) => volume.name === name)?.secret ?? {}
      const { data = {} } = await this.#client.get<Secret>(SECRETS, { namespace: this.#namespace, name: secretName })
      const folder = join(dir, relative(SECRETS_DIR, mountPath))
      mkdirSync(folder, { recursive: true })
      for (const { key, path } of items ?? Object.keys(data).map((one) => ({ key: one, path: one })))
        writeFileSync(join(folder, path), Buffer.from(data[key] ?? '', 'base64'))
    }
  }

  async #finish(job: Job, complete: boolean, startTime: string): Promise<void> {
    const now = new Date().toISOString()
    const condition = (type: string) => ({
      type,
      status: 'True',
      reason: 'Test',
      message: '',
      lastProbeTime: now,
      lastTransitionTime: now,
    })
    const status = complete
      ? {
          startTime,
          completionTime: now,
          succeeded: 1,
          conditions: [condition('SuccessCriteriaMet'), condition('Complete')],
        }
      : { startTime, failed: 1, conditions: [condition('FailureTarget'), condition('Failed')] }
    const ref = { namespace: this.#namespace, name: job.metadata.name ?? '' }
    const { metadata } = await this.#client.get<Job>(JOBS, ref)
    await this.#client.patchStatus(JOBS, ref, status, metadata.resourceVersion ?? '')
  }
}

function envOf(container: Container | undefined): Record<string, string> {
  const env = (container?.['env'] ?? []) as { name: string; value?: string }[]
  return Object.fromEntries(env.map(({ name, value }) => [name, value ?? '']))
}
