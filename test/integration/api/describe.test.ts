import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ControlPlane, startControlPlane } from '../../../hack/local/control-plane.ts'
import { REASONS, type Reason } from '../../../src/api/reasons.ts'
import { installCrd } from '../kube/control-plane.ts'
import { STATUSES } from '../../unit/decision/reason-cases.ts'
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
  const items = names.map((reason) => ({
    apiVersion: 'keyshift.dev/v1alpha1',
    kind: 'JobKeyMigration',
    metadata: { name: reason.toLowerCase(), namespace: 'default' },
    spec: specOf(),
    status: STATUSES[reason](),
  }))
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

test('kubectl get -o wide shows it too', async () => {
  const text = await plane.kubectl(['get', 'jkm', 'soaking', '-o', 'wide', '--no-headers'])
  expect(text).toContain(REASONS.Soaking.action)
})
