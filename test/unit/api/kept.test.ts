import { keptOf, parseKept, withKept } from '../../../src/api/kept.ts'
import { StatusSchema, type Status } from '../../../src/api/status.ts'
import { statusAt } from '../decision/builders.ts'

/** What is seen, measured or said anew by the passes that follow a loss. */
const SEEN_ANEW: readonly (keyof Status)[] = [
  'observedGeneration',
  'awaits',
  'phase',
  'step',
  'canaryPercentage',
  'epoch',
  'revision',
  'routing',
  'fence',
  'redisSeen',
  'lapsed',
  'reverts',
  'conditions',
  'checks',
  'jobs',
  'progressAt',
  'progress',
  'writers',
  'observers',
]

it('each field of status is in the record, or can be seen anew', () => {
  const all = Object.keys(StatusSchema.shape)
  const kept = Object.keys(keptOf(Object.fromEntries(all.map((field) => [field, 0]))))
  expect([...kept, ...SEEN_ANEW].sort()).toEqual(all.sort())
})

it('what is kept is read back as it was', () => {
  const kept = keptOf(statusAt('DualWrite', { over: { purged: 'x' } }))
  expect(parseKept(JSON.stringify(kept))).toEqual(kept)
})

it.each(['', '{', '[]', '7', 'null', '{"failed":{}}', '{"history":"x"}'])('%p is no account', (text) => {
  expect(parseKept(text)).toBeUndefined()
})

it('a status takes over everything kept, also what is not there', () => {
  const status: Status = { phase: 'Legacy', purged: 'old', lastCap: { targetPhase: 'DualWrite', canaryPercentage: 1 } }
  expect(withKept(status, { purged: 'new' })).toEqual({ phase: 'Legacy', purged: 'new' })
})
