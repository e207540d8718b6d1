import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { PodObservation } from '../../../src/decision/types.ts'
import { MountedDir } from '../../integration/client/support/routing.ts'
import { startProxy, type Proxy } from '../../integration/redis/support/proxy.ts'
import type { Command, LogLine, Settings } from '../client/wire.ts'
import type { SabotageName } from '../sabotage.ts'
import { startTied } from './child.ts'

const START_LIMIT_MS = 60_000

export interface SlotOptions {
  readonly seed: number
  readonly slot: number
  readonly dir: string
  /** As `Settings.redis`. */
  readonly redis: string
  readonly clockMs: number
  readonly sessions: number
  readonly pauseMs: number
  readonly sabotage?: SabotageName | undefined
  /** Port of the Redis to which this client goes through a proxy. */
  readonly proxied: number | undefined
  /** Program and arguments. Default: the TypeScript client. */
  readonly command?: readonly string[] | undefined
  readonly onLine: (caller: string, line: LogLine) => void
  /** The process has ended and all that it said was heard. */
  readonly onDead: (caller: string) => void
}

/** One client of the torture: a pod with its mounted ConfigMap and its process, which may be killed and started again. */
export class Slot {
  readonly slot: number
  readonly proxy: Proxy | undefined
  readonly #options: SlotOptions
  readonly #mount = new MountedDir()
  #incarnation = 0
  #pod = 0
  #startedAt = 0
  #child: ChildProcess | undefined
  #heard = Promise.resolve()
  #ready = Promise.resolve()
  #isReady = false
  #work: Command | undefined
  #kills = Promise.resolve()
  #resting = 0
  #wake: () => void = () => undefined
  /** The newest document, and how long this mount lags behind, ms. */
  #published: string | undefined
  #mounted: string | undefined
  #lagMs = 0
  #stuckUntil = 0
  #lagTimer: NodeJS.Timeout | undefined

  private constructor(options: SlotOptions, proxy: Proxy | undefined) {
    this.#options = options
    this.slot = options.slot
    this.proxy = proxy
  }

  static async start(options: SlotOptions): Promise<Slot> {
    const slot = new Slot(options, options.proxied === undefined ? undefined : await startProxy(options.proxied))
    slot.#launch(true)
    return slot
  }

  get caller(): string {
    return `c${this.slot}.${this.#incarnation}`
  }

  /** As the API server would list it. */
  get pod(): PodObservation {
    return {
      name: `app-${this.slot}-${this.#pod}`,
      uid: this.#podUid,
      workload: 'Deployment/app',
      template: 't1',
      image: 'app:1',
      phase: 'Running',
      deleting: false,
      startedAt: this.#startedAt,
    }
  }

  get #podUid(): string {
    return `uid-${this.slot}-${this.#pod}`
  }

  async ready(): Promise<void> {
    await this.#ready
  }

  /** One that is being started is told to go once it is ready. */
  tell(command: Command): void {
    this.#work = command.type === 'go' ? command : undefined
    if (command.type !== 'go' || this.#isReady) this.#send(command)
  }

  #send(command: Command): void {
    this.#child?.stdin?.write(`${JSON.stringify(command)}\n`)
  }

  /** Once nothing is in flight any more. */
  async rested(round: number, limitMs: number): Promise<void> {
    const end = Date.now() + limitMs
    while (this.#resting < round) {
      if (Date.now() > end) throw new Error(`client ${this.caller} did not come to rest within ${limitMs} ms`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal)
  }

  /** Kills the process and starts another, in the same pod or in a new one. Resolves when the new one has been started. */
  kill(newPod: boolean): Promise<void> {
    this.#kills = this.#kills.then(async () => {
      await this.#end()
      this.#launch(newPod)
    })
    return this.#kills
  }

  /** Puts a document into the ConfigMap; this pod's kubelet follows after its lag. */
  publish(document: string, lagMs: number): void {
    this.#published = document
    this.#lagMs = lagMs
    this.#follow()
  }

  /** The mount stays as it is for a while. */
  stick(ms: number): void {
    this.#stuckUntil = Date.now() + ms
    this.#follow()
  }

  /** Nothing lags any more. */
  heal(): void {
    this.#stuckUntil = this.#lagMs = 0
    this.#follow()
  }

  async stop(): Promise<void> {
    clearTimeout(this.#lagTimer)
    await this.#end()
    await this.proxy?.close()
    this.#mount.remove()
  }

  #follow(): void {
    clearTimeout(this.#lagTimer)
    if (this.#published === undefined || this.#published === this.#mounted) return
    const waitMs = Math.max(this.#lagMs, this.#stuckUntil - Date.now())
    if (waitMs > 0) {
      this.#lagTimer = setTimeout(() => {
        this.#lagMs = 0
        this.#follow()
      }, waitMs)
      return
    }
    this.#mounted = this.#published
    this.#mount.swap(this.#published)
  }

  #launch(newPod: boolean): void {
    this.#incarnation += 1
    this.#isReady = false
    if (newPod) this.#pod += 1
    this.#startedAt = Date.now()
    const { seed, slot, dir, redis, clockMs, sessions, pauseMs, sabotage, onLine, onDead } = this.#options
    const settings: Settings = {
      seed,
      slot,
      incarnation: this.#incarnation,
      redis: this.proxy === undefined ? redis : `redis://127.0.0.1:${this.proxy.port}/0`,
      routingDir: this.#mount.path,
      podUid: this.#podUid,
      podName: this.pod.name,
      clockMs,
      sessions,
      pauseMs,
      sabotage,
    }
    const command = this.#options.command ?? [process.execPath, join(import.meta.dirname, '../client/main.ts')]
    const env = { PATH: process.env['PATH'], KEYSHIFT_TORTURE: JSON.stringify(settings) }
    const child = startTied(command, { env, stdout: 'pipe', logFile: join(dir, `client-${slot}.log`) })
    const caller = this.caller
    this.#child = child
    // A command to one that is just being killed.
    child.stdin?.on('error', () => undefined)
    let tellReady: () => void = () => undefined
    this.#ready = withinLimit(
      new Promise<void>((resolve) => (tellReady = resolve)),
      child,
      join(dir, `client-${slot}.log`),
    )
    this.#ready.catch(() => undefined)
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
    lines.on('line', (text) => {
      // A kill may cut the last one short: what it would have told of was not begun.
      const line = parse(text)
      if (line === undefined) return
      if (line[0] === 'ready') {
        this.#isReady = true
        if (this.#work !== undefined) this.#send(this.#work)
        tellReady()
      }
      if (line[0] === 'resting') {
        this.#resting = line[1]
        this.#wake()
      }
      onLine(caller, line)
    })
    this.#heard = Promise.all([once(lines, 'close'), once(child, 'exit')]).then(() => onDead(caller))
  }

  async #end(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#heard
    this.#child = undefined
  }
}

function parse(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine
  } catch {
    return undefined
  }
}

async function withinLimit(ready: Promise<void>, child: ChildProcess, logFile: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const failed = new Promise<void>((resolve, reject) => {
    const fail = (why: string) => () => reject(new Error(`a client ${why}; look at ${logFile}`))
    timer = setTimeout(fail(`was not ready within ${START_LIMIT_MS / 1000} s`), START_LIMIT_MS)
    // One that was killed has another in its place by now.
    child.once('exit', () => (child.killed ? resolve() : fail('ended before it was ready')()))
  })
  try {
    await Promise.race([ready, failed])
  } finally {
    clearTimeout(timer)
  }
}
