import type { Status } from '../../../src/api/status.ts'
import { isoTime } from '../../../src/decision/time.ts'
import type { Decision, MemberObservation, PodObservation } from '../../../src/decision/types.ts'
import {
  actionOf,
  actionTypes,
  condition,
  conditionText,
  documentIn,
  eventReasons,
  HOUR,
  member,
  MINUTE,
  pod,
  proven,
  run,
  SECOND,
  specOf,
  statusAt,
  T0,
  worldOf,
} from './builders.ts'

const canary = (over: Partial<Status> = {}): Status => statusAt('DualWrite', { percent: 10, over })
const live = (name: string, status: Status): MemberObservation => member(name, documentIn(status))

function go(
  status: Status,
  pods: readonly PodObservation[],
  members: readonly MemberObservation[],
  now = T0 + MINUTE,
): Decision {
  return run(status, worldOf(status, { pods: { known: true, value: pods } }, { members }), { now })
}

describe('convergence', () => {
  const fresh = (over: Partial<Status> = {}) => canary({ convergedAt: undefined, soakEndsAt: undefined, ...over })

  test('is noted when every pod is first seen to run the epoch, and the soak begins', () => {
    const decision = go(fresh(), [pod('a')], [live('a', fresh())])
    expect(decision.status).toMatchObject({
      convergedAt: isoTime(T0 + MINUTE),
      soakEndsAt: isoTime(T0 + MINUTE + 48 * HOUR),
      soakLengthMs: 48 * HOUR,
      soakCountedThrough: isoTime(T0 + MINUTE),
    })
  })

  test('is not noted before record and ConfigMap carry the epoch, though nobody is behind', () => {
    const status = fresh()
    const absent = worldOf(status, { configMap: { known: true, value: { exists: false, immutable: false } } })
    expect(run(status, absent).status.convergedAt).toBeUndefined()
  })

  test('noted once stays: a deploy neither resets nor pauses the soak, it only holds the step', () => {
    const status = canary()
    const decision = go(status, [pod('a'), pod('new', { startedAt: T0 + 30 * SECOND })], [live('a', status)])
    expect(decision.status.convergedAt).toBe(status.convergedAt)
    expect(decision.status.soakEndsAt).toBe(status.soakEndsAt)
    expect(conditionText(decision, 'Converged')).toBe('False PodsJoining')
    expect(conditionText(decision, 'Ready')).toBe('True Soaking')
  })

  test('waits for a lapsed client for joinTimeout since it was noticed, then no more: the fence holds it out', () => {
    const noticed = go(fresh(), [pod('a')], [member('a')])
    expect(conditionText(noticed, 'Converged')).toBe('False PodsLapsed')
    expect(noticed.status.lapsed).toEqual([{ pod: 'uid-a', since: isoTime(T0 + MINUTE) }])
    const still = go(noticed.status, [pod('a')], [member('a')], T0 + 3 * MINUTE - 1)
    expect(conditionText(still, 'Converged')).toBe('False PodsLapsed')
    const over = go(noticed.status, [pod('a')], [member('a')], T0 + 3 * MINUTE)
    expect(conditionText(over, 'Converged')).toBe('True Converged')
    const back = go(noticed.status, [pod('a')], [live('a', noticed.status)])
    expect(back.status.lapsed).toBeUndefined()
  })

  test('of more lapsed pods than are noted counts from the publication', () => {
    const many = Array.from({ length: 70 }, (_, i) => pod(`p${i}`))
    const members = many.map(({ name }) => member(name))
    const first = go(fresh(), many, members, T0 + MINUTE)
    expect(first.status.lapsed).toHaveLength(64)
    expect(conditionText(go(first.status, many, members, T0 + 3 * MINUTE), 'Converged')).toBe('True Converged')
  })

  test('in Legacy waits for every lapsed client, for each pod must be a member', () => {
    const legacy = statusAt('Legacy', { over: { lapsed: [{ pod: 'uid-a', since: isoTime(T0 - HOUR) }] } })
    expect(conditionText(go(legacy, [pod('a')], [member('a')], T0 + HOUR), 'Converged')).toBe('False PodsLapsed')
  })

  test('in Legacy needs one client at the least; an application scaled to zero proves nothing', () => {
    const legacy = statusAt('Legacy', { over: { templates: undefined, convergedAt: undefined } })
    expect(conditionText(go(legacy, [], []), 'Converged')).toBe('False NoMembers')
    expect(conditionText(go(canary(), [], []), 'Converged')).toBe('True Converged')
  })

  test('names some of many', () => {
    const members = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ ...member(name), lease: { epoch: 0, hash: '' } }))
    const decision = go(
      fresh(),
      members.map(({ record }) => pod(record.podName)),
      members,
    )
    expect(condition(decision, 'Converged').message).toBe(
      '5 clients not on epoch 5 yet: a (epoch 0, image api:2), b (epoch 0, image api:2), c (epoch 0, image api:2) and 2 more',
    )
  })
})

describe('a pod of a template that no client has had, gone before joinTimeout is over', () => {
  const stranger = pod('stranger', { template: 'old', startedAt: T0 + MINUTE })
  const proven = statusAt('DualWrite', { percent: 100 })
  const noted = (status: Status): Status => go(status, [pod('a'), stranger], [live('a', status)], T0 + MINUTE).status

  test('is kept in mind while it is joining', () => {
    expect(noted(proven).newcomers).toEqual([expect.objectContaining({ pod: 'uid-stranger', template: 'old' })])
  })

  test('voids nothing until its time is up, though it has ended: a pod of its template may still become a member', () => {
    const status = noted(proven)
    const decision = go(status, [pod('a')], [live('a', status)], T0 + 3 * MINUTE - 1)
    expect(decision.status.failed).toBeUndefined()
    expect(decision.status.newcomers).toHaveLength(1)
  })

  test('then counts as a pod without the client: evidence is void, and the walk goes back', () => {
    const status = noted(proven)
    const decision = go(status, [pod('a')], [live('a', status)], T0 + 3 * MINUTE)
    expect(conditionText(decision, 'Converged')).toBe('False UnawarePod')
    expect(condition(decision, 'Converged').message).toContain('stranger')
    expect(decision.status.failed).toMatchObject({ reason: 'UnawarePod', destination: 'Legacy' })
    expect(decision.status.evidence?.verifiedTarget).toBeUndefined()
    expect(decision.status.newcomers).toBeUndefined()
  })

  test('is forgotten once a pod of its template is a member: it was a deploy', () => {
    const status = noted(proven)
    const next = pod('b', { template: 'old', startedAt: T0 + MINUTE })
    const decision = go(status, [pod('a'), next], [live('a', status), live('b', status)], T0 + 3 * MINUTE)
    expect(decision.status.newcomers).toBeUndefined()
    expect(decision.status.failed).toBeUndefined()
  })

  test('is not judged while Redis has just changed', () => {
    const status = { ...noted(proven) }
    const { redisSeen } = status
    const changed = { ...status, ...(redisSeen && { redisSeen: { ...redisSeen, since: isoTime(T0 + 2 * MINUTE) } }) }
    const decision = go(changed, [pod('a')], [live('a', status)], T0 + 3 * MINUTE)
    expect(decision.status.failed).toBeUndefined()
    expect(decision.status.newcomers).toHaveLength(1)
  })
})

describe('while a pod that is gone may have been without the client', () => {
  const end = T0 + 2 * HOUR
  const stranger = pod('stranger', { template: 'old', startedAt: end })
  const soaked = { soakEndsAt: isoTime(T0 + HOUR), soakCountedThrough: isoTime(end) }
  const dual = statusAt('DualWrite', { over: { evidence: proven('verifiedTarget'), fence: 5, ...soaked } })
  const whole = statusAt('BackfillVerify', {
    over: { evidence: proven('verifiedTarget', 'backfill', 'verifiedBoth'), fence: 5, ...soaked },
  })
  const look = (
    status: Status,
    now: number,
    pods: readonly PodObservation[] = [pod('a')],
    members: readonly MemberObservation[] = [live('a', status)],
    redis: Parameters<typeof worldOf>[2] = {},
  ): Decision =>
    run(status, worldOf(status, { pods: { known: true, value: pods } }, { members, ...redis }), {
      spec: specOf({ targetPhase: 'BackfillVerify' }),
      now,
    })
  const seen = (status: Status, now = end + 10 * SECOND): Status =>
    look(status, now, [pod('a'), stranger], [live('a', status)]).status

  test('no forward step is taken, whether its fence stands or not, and status says what it waits for', () => {
    expect(look(dual, end).status.phase).toBe('ReadRouting')
    for (const fence of [4, 5]) {
      const joining = seen({ ...dual, fence })
      const decision = look(joining, end + 20 * SECOND)
      expect(actionTypes(decision)).not.toContain('RaiseFence')
      expect(decision.status.phase).toBe('DualWrite')
      expect(conditionText(decision, 'Ready')).toBe('False PodsVanished')
      expect(decision.status.awaits).toContain(
        'stranger (Deployment/api, image api:2); judged at 2026-01-01T02:02:00.000Z',
      )
    }
  })

  test('judged when its time is up, it voids what was proven, and the walk goes back instead', () => {
    const decision = look(look(seen(dual), end + MINUTE).status, end + 2 * MINUTE)
    expect(conditionText(decision, 'Converged')).toBe('False UnawarePod')
    expect(decision.status).toMatchObject({ phase: 'Legacy', failed: { reason: 'UnawarePod', phase: 'DualWrite' } })
    expect(decision.status.evidence).toBeUndefined()
  })

  test('the step is taken once a pod of its template is a member: it was a rollout', () => {
    const next = pod('b', { template: 'old', startedAt: end + 20 * SECOND })
    const gone = look(seen(dual), end + 20 * SECOND).status
    const decision = look(gone, end + 30 * SECOND, [pod('a'), next], [live('a', gone), live('b', gone)])
    expect(decision.status.phase).toBe('ReadRouting')
    expect(decision.status.evidence).toEqual(dual.evidence)
  })

  test('BackfillVerify does not report done, neither while the pod is there nor until it is judged', () => {
    expect(conditionText(look(whole, end), 'TargetReached')).toBe('True TargetReached')
    const there = look(whole, end + 10 * SECOND, [pod('a'), stranger], [live('a', whole)])
    expect(conditionText(there, 'TargetReached')).toBe('False PodsJoining')
    const gone = look(there.status, end + 20 * SECOND)
    expect(conditionText(gone, 'TargetReached')).toBe('False PodsVanished')
    expect(gone.status.soakEndsAt).toBe(whole.soakEndsAt)
    const blind = run(gone.status, worldOf(gone.status, { pods: { known: false, reason: 'x', message: 'no' } }), {
      spec: specOf({ targetPhase: 'BackfillVerify' }),
      now: end + 30 * SECOND,
    })
    expect(conditionText(blind, 'TargetReached')).toBe('False PodsUnknown')
    expect(conditionText(look(gone.status, end + 2 * MINUTE), 'TargetReached')).toMatch(/^False/)
  })

  test('a step back is taken', () => {
    const status = seen(dual)
    const decision = run(status, worldOf(status), { spec: specOf({ targetPhase: 'Legacy' }), now: end + 20 * SECOND })
    expect(decision.status.phase).toBe('Legacy')
    expect(eventReasons(decision)).toContain('SteppedBack')
  })

  test('also one that ended while Redis had just changed is kept in mind', () => {
    const ended = { ...stranger, phase: 'Failed' as const, endedAt: end + 5 * SECOND }
    const restarted = { runId: 'run-2' }
    const there = look(dual, end + 10 * SECOND, [pod('a'), ended], [live('a', dual)], restarted).status
    const gone = look(there, end + 20 * SECOND, [pod('a')], [live('a', dual)], restarted)
    expect(conditionText(gone, 'Converged')).toBe('False PodsVanished')
    const judged = look(gone.status, end + 130 * SECOND, [pod('a')], [live('a', dual)], restarted)
    expect(conditionText(judged, 'Converged')).toBe('False UnawarePod')
  })

  test('one of a node whose clock is fast is not waited for longer than others', () => {
    const early = { ...stranger, startedAt: end + HOUR }
    const { status } = look(dual, end + 10 * SECOND, [pod('a'), early], [live('a', dual)])
    expect(conditionText(look(status, end + 130 * SECOND), 'Converged')).toBe('False UnawarePod')
  })
})

describe('what is remembered', () => {
  test('templates of members, so that a pod of one may take its time', () => {
    const status = canary({ templates: undefined })
    const decision = go(status, [pod('a', { template: 't7' })], [live('a', status)])
    expect(decision.status.templates).toEqual(['t7'])
    const restarted = go(decision.status, [pod('x', { template: 't7' })], [], T0 + 9 * HOUR)
    expect(conditionText(restarted, 'Converged')).toBe('False PodsJoining')
  })

  test('no more than 64 templates: those of pods that are there, then the newest', () => {
    const old = Array.from({ length: 64 }, (_, i) => `t${i}`)
    const status = canary({ templates: old })
    const decision = go(
      status,
      [pod('a', { template: 'new' }), pod('b', { template: 't0' })],
      [live('a', status), live('b', status)],
    )
    expect(decision.status.templates).toHaveLength(64)
    expect(decision.status.templates).toEqual(expect.arrayContaining(['new', 't0', 't63']))
    expect(decision.status.templates).not.toContain('t1')
  })

  test('of 64 templates in use at once none is dropped for one that is gone', () => {
    const used = Array.from({ length: 64 }, (_, i) => pod(`p${i}`, { template: `u${i}` }))
    const status = canary({ templates: ['gone'] })
    const decision = go(
      status,
      used,
      used.map(({ name }) => live(name, status)),
    )
    expect(decision.status.templates).not.toContain('gone')
  })

  test('the Redis process, and since when it is this one', () => {
    const status = canary()
    const same = go(status, [pod('a')], [live('a', status)])
    expect(same.status.redisSeen).toEqual(status.redisSeen)
    const restarted = run(status, worldOf(status, {}, { runId: 'run-2' }))
    expect(restarted.status.redisSeen).toMatchObject({ runId: 'run-2', since: isoTime(T0 + MINUTE) })
  })

  test('nobody is unaware for joinTimeout after Redis restarted: its members may be lost', () => {
    const stranger = pod('old', { template: 't0' })
    const status = canary()
    const restarted = run(
      status,
      worldOf(status, { pods: { known: true, value: [stranger] } }, { runId: 'run-2', members: [] }),
    )
    expect(conditionText(restarted, 'Converged')).toBe('False PodsJoining')
    expect(restarted.status.failed).toBeUndefined()
  })
})

describe('members whose pods are gone', () => {
  const status = canary()

  test('are pruned; others are not', () => {
    const members = [live('a', status), member('gone'), { ...live('ghost', status) }]
    const decision = go(status, [pod('a')], members)
    expect(actionOf(decision, 'PruneMembers').ids).toEqual(['m-gone'])
  })

  test('are left when they registered just now, or when pods are not known', () => {
    const young = { ...member('new'), record: { ...member('new').record, registeredAt: T0 } }
    expect(actionTypes(go(status, [pod('a')], [live('a', status), young]))).not.toContain('PruneMembers')
    const blind = run(
      status,
      worldOf(status, { pods: { known: false, reason: 'x', message: 'no' } }, { members: [member('gone')] }),
    )
    expect(actionTypes(blind)).not.toContain('PruneMembers')
    expect(blind.status.templates).toEqual(['t1'])
  })
})

test('a status without times takes the present for them', () => {
  const odd = canary({ publishedAt: 'x', firstPublishedAt: undefined, redisSeen: undefined, lapsed: undefined })
  expect(conditionText(go(odd, [pod('a', { template: 't0' })], []), 'Converged')).toBe('False PodsJoining')
  const fenced: Status = { ...odd, fence: 4 }
  const behind = [{ ...member('a'), lease: { epoch: 4, hash: 'x' } }]
  const back = run(fenced, worldOf(fenced, {}, { members: behind }), { spec: specOf({ targetPhase: 'Legacy' }) })
  expect(conditionText(back, 'Ready')).toBe('False SteppingBack')
})
