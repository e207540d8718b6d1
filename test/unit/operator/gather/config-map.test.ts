import type { ConfigMap, ManagedFieldsEntry } from '../../../../src/kube/types.ts'
import { observeConfigMap } from '../../../../src/operator/gather/config-map.ts'
import { flatKeys } from '../../../../src/operator/execute/config-map.ts'
import { makeDocument, renderDocument } from '../../../../src/protocol/document.ts'
import { routingState } from '../../../../src/protocol/phases.ts'
import { LEGACY, TARGET } from '../objects.ts'

const entry = (manager: string, time: string, keys: readonly string[]): ManagedFieldsEntry => ({
  manager,
  time,
  fieldsV1: { 'f:data': Object.fromEntries(keys.map((key) => [`f:${key}`, {}])) },
})
const configMap = (
  managedFields: ManagedFieldsEntry[],
  data: Record<string, string> = { 'routing.json': '{}' },
): ConfigMap => ({
  metadata: { name: 'x', managedFields },
  data,
})

describe('the ConfigMap', () => {
  it('may be absent', () => {
    expect(observeConfigMap(undefined)).toEqual({ exists: false, immutable: false })
  })

  it('shows the document and whether it can be changed', () => {
    expect(observeConfigMap({ ...configMap([]), immutable: true })).toMatchObject({
      exists: true,
      immutable: true,
      document: '{}',
    })
  })

  const table: readonly (readonly [string, ConfigMap, string | undefined])[] = [
    [
      'written by the operator has no foreign manager',
      configMap([entry('keyshift', '1', ['routing.json']), entry('helm', '2', ['theirs'])]),
      undefined,
    ],
    [
      'written by another names it',
      configMap([entry('keyshift', '1', ['EPOCH']), entry('kubectl-edit', '2', ['routing.json'])]),
      'kubectl-edit',
    ],
    [
      'written by several names the last',
      configMap([entry('flux', '3', ['routing.json']), entry('helm', '2', ['routing.json'])]),
      'flux',
    ],
    [
      'that lost the key names who wrote it last',
      configMap([entry('keyshift', '1', ['EPOCH']), entry('helm', '2', ['theirs']), entry('flux', '3', ['x'])], {}),
      'flux',
    ],
    [
      'owned together with the operator has not been taken',
      configMap([entry('keyshift', '1', ['routing.json']), entry('flux', '2', ['routing.json'])]),
      undefined,
    ],
  ]
  it.each(table)('%s', (_, given, manager) => {
    expect(observeConfigMap(given).foreignManager).toBe(manager)
  })
})

describe('flat keys', () => {
  const input = {
    name: 'jobs',
    canaryBy: 'Job' as const,
    legacy: LEGACY,
    target: TARGET,
    workspaceField: 'workspace_id',
    queues: [],
  }
  const at = (phase: Parameters<typeof routingState>[0], percent: number) =>
    flatKeys(renderDocument(makeDocument(input, routingState(phase, 0, percent), 7)))
  it('repeat phase, epoch and shares for people', () => {
    expect(at('Legacy', 0)).toEqual({ PHASE: 'Legacy', EPOCH: '7', PHASE_1_CANARY_PCT: '0', PHASE_2_CANARY_PCT: '0' })
    expect(at('DualWrite', 10)).toMatchObject({ PHASE_1_CANARY_PCT: '10', PHASE_2_CANARY_PCT: '0' })
    expect(at('ReadRouting', 50)).toMatchObject({ PHASE_1_CANARY_PCT: '100', PHASE_2_CANARY_PCT: '50' })
    expect(at('BackfillVerify', 100)).toMatchObject({ PHASE_1_CANARY_PCT: '100', PHASE_2_CANARY_PCT: '100' })
  })
})
