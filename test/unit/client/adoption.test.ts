import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { Adoption } from '../../../src/client/adoption.ts'
import { makeDocument, type RoutingDocument } from '../../../src/protocol/document.ts'
import { routingState } from '../../../src/protocol/phases.ts'
import { SentinelFailed } from '../../../src/redis/errors.ts'

const doc = (epoch: number): RoutingDocument => {
  const [legacy, target] = ['ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}']
  const input = { name: 'm', canaryBy: 'Job', legacy, target, workspaceField: 'workspace_id', queues: [] } as const
  return makeDocument(input, routingState('Legacy', 0, 0), epoch)
}

beforeEach(() => void jest.useFakeTimers())
afterEach(() => void jest.useRealTimers())

describe('a newer routing', () => {
  let answers: (() => Promise<void>)[]
  let followed: number[]
  let problems: (string | undefined)[]
  beforeEach(() => {
    ;[answers, followed, problems] = [[], [], []]
  })
  const adopt = (hasSentinels: boolean) =>
    new Adoption({
      connection: { hasSentinels, confirmPrimary: () => answers.shift()?.() ?? Promise.resolve() },
      follow: ({ epoch }) => void followed.push(epoch),
      onProblem: (problem) => void problems.push(problem),
    })
  const turn = (ms = 0) => jest.advanceTimersByTimeAsync(ms)

  test('is taken at once without Sentinels, and so is the first one with them', async () => {
    for (const epoch of [1, 2]) adopt(false).offer(doc(epoch))
    adopt(true).offer(doc(3))
    expect(followed).toEqual([1, 2, 3])
  })

  test('waits until the Sentinels confirm the primary, and says so once', async () => {
    const adoption = adopt(true)
    adoption.offer(doc(1))
    const away = () => Promise.reject(new SentinelFailed('no Sentinel says'))
    answers = [away, away]
    adoption.offer(doc(2))
    await turn(300)
    expect({ followed, problems }).toEqual({
      followed: [1],
      problems: ['epoch 2 is not followed yet: no Sentinel says'],
    })
    await turn(300)
    expect({ followed, problems: problems.slice(1) }).toEqual({ followed: [1, 2], problems: [undefined] })
  })

  test('that came while they were asked is confirmed by itself, for their answer may be older', async () => {
    const adoption = adopt(true)
    adoption.offer(doc(1))
    let answer = (): void => undefined
    answers = [() => new Promise((resolve) => (answer = resolve)), () => Promise.reject(new SentinelFailed('moved'))]
    adoption.offer(doc(2))
    adoption.offer(doc(3))
    answer()
    await turn(1)
    expect(followed).toEqual([1, 2])
    await turn(300)
    expect(followed).toEqual([1, 2, 3])
  })

  test('is not taken any more once the client is closed', async () => {
    const adoption = adopt(true)
    adoption.offer(doc(1))
    adoption.offer(doc(2))
    adoption.close()
    await turn(1000)
    expect(followed).toEqual([1])
  })
})
