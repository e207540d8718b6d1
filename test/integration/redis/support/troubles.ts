import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { until } from './redis.ts'

/** What a Redis refuses writes for, made on a real one and ended again. */
export interface Trouble {
  readonly code: 'OOM' | 'NOREPLICAS' | 'READONLY' | 'MISCONF' | 'LOADING' | 'BUSY'
  /** Reads of others are refused as well. */
  readonly blind: boolean
  begin(): Promise<void>
  end(): Promise<void>
}

/** Options that the server needs. */
export const TROUBLE_ARGS = [
  ...['--enable-debug-command', 'yes', '--busy-reply-threshold', '20'],
  ...['--loading-process-events-interval-bytes', '1024'],
]

/** `admin` may run everything. The db must hold some keys, so that loading them takes a while. */
export function troublesOf(admin: Redis): readonly Trouble[] {
  const config = (name: string, value: string) => admin.config('SET', name, value)
  const refused = (code: string) =>
    until(code, () =>
      admin.ping().then(
        () => false,
        (error: unknown) => String(error).includes(code),
      ),
    )
  let other: Redis | undefined
  let running: Promise<unknown> | undefined
  const hold = (...command: readonly [string, ...string[]]): void => {
    other = admin.duplicate({ retryStrategy: () => null })
    running = other.call(...command).catch(() => undefined)
  }
  const release = async (): Promise<void> => {
    await running
    other?.disconnect()
  }
  const saved = (state: string) =>
    until('a snapshot', async () => {
      const info = await admin.info('persistence')
      return info.includes('rdb_bgsave_in_progress:0') && info.includes(`rdb_last_bgsave_status:${state}`)
    })
  const dumpFile = async () => join((await admin.config('GET', 'dir'))[1] ?? '', 'dump.rdb')
  return [
    {
      code: 'OOM',
      blind: false,
      begin: async () => void (await config('maxmemory', '1')),
      end: async () => void (await config('maxmemory', '0')),
    },
    {
      code: 'NOREPLICAS',
      blind: false,
      begin: async () => void (await config('min-replicas-to-write', '3')),
      end: async () => void (await config('min-replicas-to-write', '0')),
    },
    {
      code: 'READONLY',
      blind: false,
      begin: async () => void (await admin.replicaof('127.0.0.1', 1)),
      end: async () => void (await admin.replicaof('NO', 'ONE')),
    },
    {
      code: 'MISCONF',
      blind: false,
      begin: async () => {
        await config('save', '3600 1')
        // Where the snapshot is to go there is a folder.
        const dump = await dumpFile()
        rmSync(dump, { force: true })
        mkdirSync(dump)
        await admin.bgsave()
        await saved('err')
      },
      end: async () => {
        rmSync(await dumpFile(), { recursive: true, force: true })
        await admin.bgsave()
        await saved('ok')
        await config('save', '')
      },
    },
    {
      code: 'LOADING',
      blind: true,
      begin: async () => {
        await config('key-load-delay', '20000')
        hold('DEBUG', 'RELOAD')
        await refused('LOADING')
      },
      end: async () => {
        await config('key-load-delay', '0')
        await release()
      },
    },
    {
      code: 'BUSY',
      blind: true,
      begin: async () => {
        hold('EVAL', 'while true do end', '0')
        await refused('BUSY')
      },
      end: async () => {
        await admin.script('KILL')
        await release()
      },
    },
  ]
}
