import { expect, test } from '@jest/globals'
import { makeDocument } from '../../../src/protocol/document.ts'
import { routingState } from '../../../src/protocol/phases.ts'
import { Deliveries } from '../../torture/deliveries.ts'
import { stateText, type Action } from '../../torture/history/job.ts'
import { Histories } from '../../torture/histories.ts'
import { homeOf, LEGACY, TARGET } from '../../torture/jobs.ts'
import { judgeHistory, judgeKeys, type Claims, type Rest } from '../../torture/judge.ts'
import type { Keys, Stored } from '../../torture/keys.ts'
import { Tally } from '../../torture/tally.ts'

const doc = (phase: 'Legacy' | 'BackfillVerify') =>
  makeDocument(
    { name: 'jobs', canaryBy: 'Job', legacy: LEGACY, target: TARGET, workspaceField: 'workspace_id', queues: [] },
    routingState(phase, 0, 100),
    5,
  )
const home = homeOf('h1')
const stranger = home === 'w0' ? 'w1' : 'w0'
const stored = (a: string, workspace = home, expiresAt: number | null = null): Stored => ({
  type: 'hash',
  workspace,
  value: { workspace_id: workspace, a },
  expiresAt,
})

interface Seen {
  readonly legacy?: Stored | undefined
  readonly target?: readonly (readonly [string, Stored])[]
  readonly waiting?: number
  readonly dead?: number
  readonly claims?: Partial<Claims>
}

function rest({ legacy, target = [], waiting = 0, dead = 0, claims = {} }: Seen): Rest {
  const keys: Keys = {
    legacy: new Map(legacy === undefined ? [] : [['h1', legacy]]),
    target: new Map(target.length === 0 ? [] : [['h1', new Map(target)]]),
    waiting: new Map([['h1', waiting]]),
    dead,
    from: 1000,
    to: 1001,
  }
  const all: Claims = { doc: doc('BackfillVerify'), complete: false, disturbed: false, wentBack: false, ...claims }
  return {
    keys,
    claims: all,
    histories: new Histories(),
    deliveries: new Deliveries(homeOf),
    tally: new Tally(() => undefined),
  }
}

/** Violations with the job known, and made by `first` before the rest. */
function judged(
  seen: Seen,
  first: readonly (readonly [Action, string])[] = [],
  was: Stored | undefined = seen.legacy,
): string[] {
  const one = rest(seen)
  one.histories.begin('h1', was)
  first.forEach(([action, answer], i) => {
    one.histories.call('c', i, 'h1', 10 * i, action)
    one.histories.done('c', i, 10 * i + 5, answer)
  })
  judgeKeys(one)
  judgeHistory(one, 'h1')
  return Object.entries(one.tally.violations).flatMap(([name, count]) => (count === 0 ? [] : [name]))
}

const get = (workspace = home): Action => ({ kind: 'get', workspace })

test.each<[string, string[], string[]]>([
  [
    'equal keys are well',
    judged({ legacy: stored('1'), target: [[home, stored('1')]], claims: { complete: true } }),
    [],
  ],
  ['a job without a target is well before everything is verified', judged({ legacy: stored('1') }), []],
  ['other values are I1', judged({ legacy: stored('1'), target: [[home, stored('2')]] }), ['I1']],
  ['other expiries are I1', judged({ legacy: stored('1'), target: [[home, stored('1', home, 9000)]] }), ['I1']],
  ['other types are I1', judged({ legacy: stored('1'), target: [[home, { ...stored('1'), type: 'string' }]] }), ['I1']],
  ['a lost job is I2', judged({}, [], stored('1')), ['I2']],
  ['a job that nobody made is I2', judged({ legacy: stored('1') }, [], undefined).filter((one) => one !== 'I1'), []],
  ['a stale answer is I2', judged({ legacy: stored('1') }, [[get(), stateText(stored('0'))]]), ['I2']],
  [
    'a target left behind is I2',
    judged({ target: [[home, stored('1')]] }, [[{ kind: 'delete', workspace: home }, 'ok']], stored('1')),
    ['I2'],
  ],
  ['a malformed queue entry is I2', judged({ dead: 1 }), ['I2']],
  [
    'an answer for another workspace is I3',
    judged({ legacy: stored('1') }, [[get(stranger), stateText(stored('1'))]]),
    ['I3'],
  ],
  [
    'a value under the name of another workspace is I3',
    judged({ legacy: stored('1'), target: [[stranger, stored('1')]] }),
    ['I3'],
  ],
  [
    'a missing target is I4 once everything is verified',
    judged({ legacy: stored('1'), claims: { complete: true } }),
    ['I4'],
  ],
  [
    'and I6 where a worker was disturbed',
    judged({ legacy: stored('1'), claims: { complete: true, disturbed: true } }),
    ['I6'],
  ],
  [
    'a stale answer after a step back is I5',
    judged({ legacy: stored('1'), claims: { wentBack: true } }, [[get(), stateText(stored('0'))]]),
    ['I5'],
  ],
  [
    'a job in target alone is lost to a rollback: I5',
    judged({ target: [[home, stored('1')]] }, [], stored('1')),
    ['I2', 'I5'],
  ],
])('%s', (_name, found, expected) => {
  expect(found).toEqual(expected)
})

const queues: readonly [string, (d: Deliveries) => void, boolean, number, string[]][] = [
  ['one that waits is well', (d) => d.made('h1'), true, 1, []],
  ['one that was acknowledged is well', (d) => (d.made('h1'), d.deliver('h1', home), d.ack('h1', true)), true, 0, []],
  ['one that may have been acknowledged is well', (d) => (d.made('h1'), d.ack('h1', false)), true, 1, []],
  ['one that was never made is well', () => undefined, false, 0, []],
  ['a lost one', (d) => d.made('h1'), true, 0, ['I2']],
  ['a job without its entry', () => undefined, true, 0, ['I2']],
  ['an entry without its job', () => undefined, false, 1, ['I2']],
  ['one that comes back', (d) => (d.made('h1'), d.ack('h1', true)), true, 1, ['I2']],
  ['two of one job', (d) => d.made('h1'), true, 2, ['I2']],
  ['one of another workspace', (d) => (d.made('h1'), d.deliver('h1', stranger)), true, 1, ['I3']],
]
test.each(queues)('queue entries: %s', (_name, tell, exists, waiting, expected) => {
  const deliveries = new Deliveries(homeOf)
  deliveries.enqueued('h1')
  tell(deliveries)
  const { found } = deliveries.rest(
    () => exists,
    () => waiting,
  )
  expect(found.map(({ invariant }) => invariant)).toEqual(expected)
})

test('an operation whose caller was killed may have been done until the rest, and not after it', () => {
  const one = rest({ legacy: stored('1') })
  one.histories.begin('h1', stored('1'))
  one.histories.call('c', 1, 'h1', 0, { kind: 'update', workspace: home, set: { a: '2' } })
  one.histories.died('c')
  judgeHistory(one, 'h1')
  const later = { ...rest({ legacy: stored('2') }), histories: one.histories }
  judgeHistory(later, 'h1')
  expect([one.tally.total, later.tally.total]).toEqual([0, 1])
})
