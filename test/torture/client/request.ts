import type { JobStore, KeyshiftClient } from '../../../src/client/index.ts'
import type { Action, Answer, Value } from '../history/job.ts'
import type { Encoding } from '../jobs.ts'
import { jobText } from './session.ts'

/** Of an operation; what many tests are about comes twice. */
export const KINDS = [
  'create',
  'create',
  'get',
  'get',
  'update',
  'cas',
  'count',
  'delete',
  'expire',
  'persist',
] as const

/** One operation to make, in the words of a property. */
export interface Request {
  readonly jobId: string
  readonly workspace: string
  readonly kind: (typeof KINDS)[number]
}

/** Expiries only have to be kept, not to come. */
const FAR = 4_102_444_800_000
let written = 0

/** What a history has of it, and how it is sent; `swapped` hears of a text that is written in the place of another. */
export function request(
  client: KeyshiftClient<Encoding>,
  encoding: Encoding,
  { jobId, workspace, kind }: Request,
): { action: Action; send: (swapped: (old: string, text: string) => void) => Promise<Answer> } {
  // Each value is written once.
  const tag = `${process.pid}${(written += 1)}`
  const told = async (done: Promise<boolean>): Promise<Answer> => ((await done) ? 'ok' : 'absent')
  const value: Value =
    encoding === 'hash' ? { workspace_id: workspace, a: tag, n: '0' } : `{"workspace_id": "${workspace}", "a": ${tag}}`
  const store = client.forWorkspace(workspace)
  const hash = store as JobStore<'hash'>
  switch (kind) {
    case 'create':
      return {
        action: { kind, workspace, value, expiresAt: null },
        send: async () => (await store.create(jobId, value), 'ok'),
      }
    case 'get':
      return { action: { kind, workspace }, send: async () => jobText(await store.get(jobId)) }
    case 'delete':
      return { action: { kind, workspace }, send: () => told(store.delete(jobId)) }
    case 'expire':
      return {
        action: { kind, workspace, expiresAt: FAR },
        send: () => told(store.expire(jobId, { expiresAt: FAR })),
      }
    case 'persist':
      return {
        action: { kind: 'expire', workspace, expiresAt: null },
        send: () => told(store.expire(jobId, { persist: true })),
      }
    default: {
      if (encoding === 'json')
        return {
          action: { kind: 'replace', workspace },
          send: (swapped) =>
            told(
              (store as unknown as JobStore<'json'>).update(jobId, (old) => {
                swapped(old, value as string)
                return value as string
              }),
            ),
        }
      if (kind === 'count')
        return {
          action: { kind: 'mutate', workspace, commands: [['HINCRBY', 'n', 1]] },
          send: async () => {
            const results = await hash.mutate(jobId, [['HINCRBY', 'n', 1]])
            return results === undefined ? 'absent' : JSON.stringify(results)
          },
        }
      const expect = kind === 'cas' ? { expect: { n: '0' } } : {}
      return {
        action: { kind: 'update', workspace, set: { a: tag }, ...expect },
        send: () => told(hash.update(jobId, { a: tag }, expect)),
      }
    }
  }
}
