import { REASONS } from '../../../src/api/reasons.ts'
import { withRefusal } from '../../../src/decision/refusal.ts'
import type { Action, RefusedAction } from '../../../src/decision/types.ts'
import { awaitsLine, verdict } from '../../../src/decision/verdict.ts'

const refused: RefusedAction = { action: 'RaiseFence', reason: 'FenceNotConfirmed', message: '0 of 1 replicas have it' }
const due: readonly Action[] = [{ type: 'RaiseFence', epoch: 4 }]
const { action } = REASONS.FenceNotConfirmed

describe('what the pass before was refused', () => {
  test('gives the verdict its own reason, and with it the advice for it', () => {
    const line = awaitsLine(withRefusal(verdict('moving', 'RaisingFence', 'x is next'), refused, due))
    expect(line).toBe(
      `FenceNotConfirmed: RaiseFence was refused: 0 of 1 replicas have it; besides: x is next. ${action}`,
    )
  })

  test('comes second where a person must act in any case, with its own advice', () => {
    const line = awaitsLine(withRefusal(verdict('stalled', 'ConfigMapImmutable', 'it is immutable'), refused, due))
    expect(line).toMatch(/^ConfigMapImmutable: it is immutable; besides, RaiseFence was refused: 0 of 1/)
    expect(line).toContain(`(FenceNotConfirmed: ${action.slice(0, -1)}). ${REASONS.ConfigMapImmutable.action}`)
  })

  test('is said no more once the action is not due', () => {
    const said = verdict('moving', 'RaisingFence', 'x is next')
    expect(withRefusal(said, refused, [])).toBe(said)
    expect(withRefusal(said, undefined, due)).toBe(said)
  })
})
