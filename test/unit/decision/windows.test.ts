import type { Outcome, SoakWindow } from '../../../src/decision/types.ts'
import { mergeWindows, uncounted } from '../../../src/decision/windows.ts'
import { measure } from './builders.ts'

const at = (start: number, end: number, ...outcomes: Outcome[]): SoakWindow => ({
  start,
  end,
  measurements: outcomes.map((outcome, i) => measure(outcome, { check: `c${i}` })),
})
const text = (windows: readonly SoakWindow[]): string[] =>
  windows.map(({ start, end, measurements }) => `${start}-${end} ${measurements.map(({ outcome }) => outcome).join()}`)

test.each<[string, SoakWindow[], string[]]>([
  ['that pass are one', [at(0, 1, 'Pass'), at(1, 2, 'Pass'), at(2, 3, 'Pass')], ['0-3 Pass']],
  [
    'that are unclear for the same checks are one',
    [at(0, 1, 'Pass', 'Error'), at(1, 2, 'Pass', 'Error')],
    ['0-2 Pass,Error'],
  ],
  [
    'that are unclear for other checks stay apart',
    [at(0, 1, 'Pass', 'Error'), at(1, 2, 'Error', 'Pass')],
    ['0-1 Pass,Error', '1-2 Error,Pass'],
  ],
  ['that fail stay apart: each counts', [at(0, 1, 'Fail'), at(1, 2, 'Fail')], ['0-1 Fail', '1-2 Fail']],
  ['with a gap between them stay apart', [at(0, 1, 'Pass'), at(2, 3, 'Pass')], ['0-1 Pass', '2-3 Pass']],
  ['of other checks stay apart', [at(0, 1, 'Pass'), at(1, 2, 'Pass', 'Pass')], ['0-1 Pass', '1-2 Pass,Pass']],
])('neighbours %s', (_, windows, expected) => {
  expect(text(mergeWindows(windows))).toEqual(expected)
})

test('what lies after a moment is left, a window across it in part', () => {
  expect(text(uncounted([at(0, 10, 'Pass'), at(10, 20, 'Fail'), at(20, 30, 'Pass')], 15))).toEqual([
    '15-20 Fail',
    '20-30 Pass',
  ])
})
