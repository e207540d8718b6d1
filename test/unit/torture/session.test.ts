import { expect, test } from '@jest/globals'
import { Session } from '../../torture/client/session.ts'
import type { Recorder } from '../../torture/client/recorder.ts'
import type { Action, Answer } from '../../torture/history/job.ts'
import { randomOf } from '../../torture/jobs.ts'

/** What a session sends of which job, if it is given these answers; none of them comes from a client. */
async function sent(seed: number, answer: Answer | undefined): Promise<unknown[]> {
  const calls: unknown[] = []
  const recorder = {
    now: () => 0,
    run: async (jobId: string, { kind, workspace }: Action & { workspace: string }) => {
      calls.push([kind, workspace, jobId])
      return answer
    },
  } as unknown as Recorder
  const client = { forWorkspace: () => ({}) } as never
  const random = randomOf(seed, 'session')
  const session = new Session({ client, encoding: 'hash', tag: 't', recorder, random })
  for (let i = 0; i < 200; i += 1) await session.step(['ha', 'hb', 'hc'])
  return calls
}

test('a seed gives a session the same operations on the same jobs, whatever it is answered', async () => {
  const calls = await sent(5, 'ok')
  expect(calls).toHaveLength(200)
  expect(await sent(5, 'ok')).toEqual(calls)
  expect(await sent(5, undefined)).toEqual(calls)
  expect(await sent(6, 'ok')).not.toEqual(calls)
})
