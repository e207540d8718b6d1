import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ControlPlane, startControlPlane } from '../../../hack/local/control-plane.ts'
import { PREFLIGHT_REASONS } from '../../../src/api/preflight-reasons.ts'
import { REASONS, type Reason } from '../../../src/api/reasons.ts'
import type { Status } from '../../../src/api/status.ts'
import { installCrd } from '../kube/control-plane.ts'
import { blockedBy, STATUSES } from '../../unit/decision/reason-cases.ts'
import { EVERY_FINDING } from '../../unit/worker/preflight-cases.ts'
import { specOf } from '../../unit/decision/builders.ts'

const dir = mkdtempSync(join(tmpdir(), 'keyshift-describe-'))
const names = Object.keys(STATUSES) as Reason[]
const page = readFileSync(join(import.meta.dirname, '../../../docs/reasons.md'), 'utf8')
let plane: ControlPlane
let described: ReadonlyMap<string, readonly string[]>

/** One resource for each reason, with the status that the decision, or the operator, gives it, as kubectl prints them. */
beforeAll(async () => {
  plane = await startControlPlane({ dir })
  await installCrd(plane)
  const item = (name: string, status: Status) => ({
    apiVersion: 'keyshift.dev/v1alpha1',
    kind: 'JobKeyMigration',
    metadata: { name, namespace: 'default' },
    spec: specOf(),
    status,
  })
  const items = [
    ...names.map((reason) => item(reason.toLowerCase(), STATUSES[reason]())),
    ...EVERY_FINDING.blockers.map((blocker, i) => item(`blocker-${i}`, blockedBy([blocker]).status)),
  ]
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
  await plane.kubectl(['create', '-f', '-'], { input })
  await plane.kubectl(['apply', '--server-side', '--subresource=status', '-f', '-'], { input })
  const text = await plane.kubectl(['describe', 'jkm'])
  described = new Map(
    text.split(/^(?=Name: )/m).map((one) => [/^Name: +(\S+)/.exec(one)?.[1] ?? '', one.split('\n')] as const),
  )
}, 120_000)

afterAll(async () => {
  await plane.stop()
  rmSync(dir, { recursive: true, force: true })
})

test.each(names)('kubectl describe of a resource with %s: status begins with what it waits for', (reason) => {
  const lines = described.get(reason.toLowerCase()) ?? []
  const first = lines[lines.indexOf('Status:') + 1] ?? ''
  const { conditions = [] } = STATUSES[reason]()
  const ready = conditions.find(({ type }) => type === 'Ready')
  const { action, meaning } = REASONS[ready?.reason as Reason]
  expect(first).toMatch(new RegExp(`^  Awaits: +${ready?.reason}: `))
  expect(first).toContain(ready?.message)
  expect(first).toContain(action)
  expect(page).toContain(`| \`${ready?.reason}\` | ${meaning.replaceAll('|', '\\|')} |`)
})

test.each(EVERY_FINDING.blockers.map((blocker, i) => [blocker.reason, i, blocker.message] as const))(
  'kubectl describe of a resource that preflight blocks with %s: what was found and what to do (%s)',
  (reason, i, message) => {
    const lines = described.get(`blocker-${i}`) ?? []
    const first = lines[lines.indexOf('Status:') + 1] ?? ''
    expect(first).toMatch(/^ {2}Awaits: +PreflightBlocked: /)
    expect(first).toContain(`${reason}: ${message}`)
    expect(page).toContain(
      `| \`${reason}\` | ${PREFLIGHT_REASONS[reason].meaning} | ${PREFLIGHT_REASONS[reason].action} |`,
    )
  },
)

test('kubectl get -o wide shows it too', async () => {
  const text = await plane.kubectl(['get', 'jkm', 'soaking', '-o', 'wide', '--no-headers'])
  expect(text).toContain(REASONS.Soaking.action)
})
