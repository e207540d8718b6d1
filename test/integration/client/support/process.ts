import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { ClientState } from '../../../../src/client/index.ts'
import { until } from '../../redis/support/redis.ts'

/** What client-process.ts says. */
export interface Said {
  readonly state?: ClientState
  readonly log?: { readonly level: string; readonly message: string }
  /** The metrics page, where it was asked for. */
  readonly page?: string
}

/** A process of its own with one client, told what to do by lines on its stdin. */
export class ClientProcess {
  readonly #child: ChildProcess
  readonly #said: Said[] = []
  #stderr = ''
  readonly ended: Promise<number | null>

  constructor(options: {
    readonly redis: string
    readonly dir?: string
    readonly noWatch?: boolean
    readonly clockShiftMs?: number
  }) {
    const folder = import.meta.dirname
    const preload = options.noWatch === true ? ['--import', join(folder, 'no-watch.ts')] : []
    const { clockShiftMs } = options
    if (clockShiftMs !== undefined) preload.push('--import', join(folder, 'shifted-clock.ts'))
    this.#child = spawn(
      process.execPath,
      ['--no-warnings', ...preload, join(folder, 'client-process.ts'), options.redis, options.dir ?? ''],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
        env: { ...process.env, NODE_OPTIONS: '', CLOCK_SHIFT_MS: String(clockShiftMs ?? 0) },
      },
    )
    this.#child.stderr?.on('data', (chunk) => (this.#stderr += String(chunk)))
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      this.#said.push(JSON.parse(line) as Said),
    )
    this.ended = new Promise((resolve) => this.#child.on('close', resolve))
  }

  get state(): ClientState | undefined {
    return this.#said.findLast(({ state }) => state !== undefined)?.state
  }

  get logged(): readonly string[] {
    return this.#said.flatMap(({ log }) => (log === undefined ? [] : [`${log.level}: ${log.message}`]))
  }

  get stderr(): string {
    return this.#stderr
  }

  tell(what: 'page' | 'get' | 'close'): void {
    this.#child.stdin?.write(`${what}\n`)
  }

  async page(): Promise<string> {
    const before = this.#said.filter(({ page }) => page !== undefined).length
    this.tell('page')
    return until('the page', () => this.#said.filter(({ page }) => page !== undefined)[before]?.page)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }
}
