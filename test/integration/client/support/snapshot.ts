import type { Redis } from 'ioredis'
import { KEYS } from './routing.ts'

/** Every key of the db with what it holds and when it expires, but for what members renew by themselves. */
export async function snapshot(raw: Redis): Promise<Map<string, unknown>> {
  const all = new Map<string, unknown>()
  const names = (await raw.keysBuffer('*')).sort((a, b) => a.compare(b))
  for (const name of names) {
    const text = name.toString('latin1')
    if (text.startsWith(KEYS.lease('')) || text === KEYS.members || text === KEYS.illegalIds) continue
    const dumped = (await raw.dumpBuffer(name)).toString('base64')
    all.set(name.toString('utf8'), [dumped, await raw.call('PEXPIRETIME', name)])
  }
  return all
}
