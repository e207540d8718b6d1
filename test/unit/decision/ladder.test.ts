import type { SpecInput } from '../../../src/api/schema.ts'
import {
  compareStates,
  destinationOf,
  nextState,
  previousState,
  rungsOf,
  soakMsOf,
  stateText,
} from '../../../src/decision/ladder.ts'
import { routingState, type Phase } from '../../../src/protocol/phases.ts'
import { HOUR, MINUTE, specOf } from './builders.ts'

const spec = specOf({
  phases: {
    dualWrite: {
      steps: [
        { percent: 10, soak: '48h' },
        { percent: 50, soak: '4h' },
      ],
    },
    readRouting: { steps: [{ percent: 50, soak: '24h' }] },
    backfillVerify: { soak: '720h' },
  } satisfies SpecInput['phases'],
})

describe('rungs of a phase', () => {
  test.each<[string, Phase, number, [number, number][]]>([
    [
      'DualWrite has its steps and an implied 100 % with the last soak',
      'DualWrite',
      100,
      [
        [10, 48],
        [50, 4],
        [100, 4],
      ],
    ],
    [
      'the cap is the last step and soaks as long as the step it stands in for',
      'DualWrite',
      30,
      [
        [10, 48],
        [30, 4],
      ],
    ],
    [
      'a cap at a step ends there',
      'DualWrite',
      50,
      [
        [10, 48],
        [50, 4],
      ],
    ],
    ['a cap below the first step is the only step', 'DualWrite', 5, [[5, 48]]],
    ['a cap of 0 is a step of its own', 'DualWrite', 0, [[0, 48]]],
    [
      'ReadRouting ramps reads',
      'ReadRouting',
      100,
      [
        [50, 24],
        [100, 24],
      ],
    ],
    ['BackfillVerify is one rung whatever the cap', 'BackfillVerify', 10, [[100, 720]]],
    ['Legacy is one rung without soak', 'Legacy', 10, [[0, 0]]],
  ])('%s', (_, phase, cap, expected) => {
    const rungs = rungsOf(spec, phase, cap)
    const shares = rungs.map(({ state, soakMs }) => [
      phase === 'ReadRouting' ? state.readTarget : state.createTarget,
      soakMs / HOUR,
    ])
    expect(shares).toEqual(expected)
    expect(rungs.map(({ state }) => state.step)).toEqual(expected.map((_, i) => i))
  })

  test('ReadRouting always creates on both schemas', () => {
    expect(rungsOf(spec, 'ReadRouting').map(({ state }) => state.createTarget)).toEqual([100, 100])
  })

  test('a listed 100 is not doubled', () => {
    const listed = specOf({ phases: { dualWrite: { steps: [{ percent: 100, soak: '90m' }] } } })
    expect(rungsOf(listed, 'DualWrite')).toEqual([{ state: routingState('DualWrite', 0, 100), soakMs: 90 * MINUTE }])
  })
})

describe('the next state', () => {
  const at = (phase: Phase, percent: number) => routingState(phase, 0, percent)
  const end = (phase: Phase, cap = 100) => destinationOf(spec, phase, cap)

  test.each<[string, ReturnType<typeof at>, ReturnType<typeof end>, string]>([
    ['out of Legacy is the first step', at('Legacy', 0), end('BackfillVerify'), 'DualWrite 10 %'],
    ['within a phase is the next step', at('DualWrite', 10), end('BackfillVerify'), 'DualWrite 50 %'],
    [
      'of a percentage that is no step any more is the next one above',
      at('DualWrite', 30),
      end('DualWrite'),
      'DualWrite 50 %',
    ],
    [
      'at the end of a phase is the first step of the next',
      at('DualWrite', 100),
      end('ReadRouting'),
      'ReadRouting 50 %',
    ],
    ['under a cap ends at the cap', at('DualWrite', 10), end('DualWrite', 30), 'DualWrite 30 %'],
    ['into a capped phase may be the cap itself', at('DualWrite', 100), end('ReadRouting', 20), 'ReadRouting 20 %'],
    [
      'ignores the cap of the target in a phase passed on the way',
      at('DualWrite', 50),
      end('ReadRouting', 20),
      'DualWrite 100 %',
    ],
    ['after the reads is BackfillVerify', at('ReadRouting', 100), end('BackfillVerify'), 'BackfillVerify'],
  ])('forward %s', (_, from, destination, expected) => {
    expect(stateText(nextState(spec, from, destination))).toBe(expected)
  })

  test.each<[string, ReturnType<typeof at>, ReturnType<typeof end>, string]>([
    ['from BackfillVerify is ReadRouting at 100 %', at('BackfillVerify', 100), end('Legacy'), 'ReadRouting 100 %'],
    [
      'from BackfillVerify to a capped ReadRouting is ReadRouting at 100 % first',
      at('BackfillVerify', 100),
      end('ReadRouting', 20),
      'ReadRouting 100 %',
    ],
    ['from ReadRouting at any share is DualWrite at 100 %', at('ReadRouting', 50), end('Legacy'), 'DualWrite 100 %'],
    ['from DualWrite at any share is Legacy', at('DualWrite', 50), end('Legacy'), 'Legacy'],
    ['within a phase is the percentage asked for, at once', at('DualWrite', 100), end('DualWrite', 5), 'DualWrite 5 %'],
  ])('back %s', (_, from, destination, expected) => {
    expect(stateText(previousState(spec, from, destination))).toBe(expected)
  })

  test('states are ordered by phase, then by the share that the phase ramps', () => {
    expect(compareStates(at('DualWrite', 100), at('ReadRouting', 0))).toBeLessThan(0)
    expect(compareStates(at('ReadRouting', 50), at('ReadRouting', 20))).toBeGreaterThan(0)
    expect(compareStates(at('BackfillVerify', 0), at('BackfillVerify', 100))).toBe(0)
  })
})

describe('the soak of the state in force', () => {
  test.each<[string, Phase, number, number]>([
    ['a step', 'DualWrite', 10, 48],
    ['a percentage between steps, as the step above', 'DualWrite', 30, 4],
    ['the implied last step, as the last listed', 'ReadRouting', 100, 24],
    ['a phase without ramp', 'BackfillVerify', 100, 720],
  ])('of %s', (_, phase, percent, hours) => {
    expect(soakMsOf(spec, routingState(phase, 0, percent))).toBe(hours * HOUR)
  })
})
