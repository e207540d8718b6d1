import { stringify } from 'yaml'
import { z } from 'zod'
import { GROUP, KIND, PLURAL, SHORT_NAME, VERSION } from '../../src/api/resource.ts'
import { SpecSchema } from '../../src/api/schema.ts'
import { StatusSchema } from '../../src/api/status.ts'
import { RESOURCE_RULES } from '../../src/api/schema.ts'

type Json = Record<string, unknown>

/** Structural schema of a zod schema: what JSON Schema has and a CRD must not is taken out, CEL rules are put in. */
export function structural(schema: z.ZodType): Json {
  return clean(z.toJSONSchema(schema, { io: 'input', target: 'draft-7', unrepresentable: 'throw' }))
}

function clean(node: Json): Json {
  const out: Json = {}
  for (const [key, value] of Object.entries(node)) {
    if (key === '$schema' || key === 'additionalProperties' || key === 'propertyNames') continue
    if (key === 'cel') out['x-kubernetes-validations'] = value
    else if (key === 'properties')
      out[key] = Object.fromEntries(Object.entries(value as Json).map(([name, child]) => [name, clean(child as Json)]))
    else if (key === 'items') out[key] = clean(value as Json)
    else out[key] = value
  }
  // A map keeps its value schema, bounded; an object with named fields has none.
  const values = node['additionalProperties']
  if (typeof values === 'object' && values !== null && Object.keys(values).length > 0) {
    out['additionalProperties'] = bound(clean(values as Json))
    out['maxProperties'] ??= 32
  }
  return out
}

// An unbounded text in a map would break the API server's cost budget for CEL.
function bound(node: Json): Json {
  return node['type'] === 'string' && node['maxLength'] === undefined ? { ...node, maxLength: 253 } : node
}

/** The CustomResourceDefinition as YAML. */
export function crdYaml(): string {
  const column = (name: string, type: string, jsonPath: string, extra: Json = {}): Json => ({
    name,
    type,
    jsonPath,
    ...extra,
  })
  const condition = (type: string): string => `.status.conditions[?(@.type=="${type}")].status`
  const crd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${PLURAL}.${GROUP}` },
    spec: {
      group: GROUP,
      names: {
        kind: KIND,
        listKind: `${KIND}List`,
        plural: PLURAL,
        singular: KIND.toLowerCase(),
        shortNames: [SHORT_NAME],
      },
      scope: 'Namespaced',
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            column('Phase', 'string', '.status.phase'),
            column('Canary', 'integer', '.status.canaryPercentage'),
            column('Progress', 'string', '.status.progress'),
            column('SLO', 'string', condition('SLOHealthy')),
            column('Ready', 'string', condition('Ready')),
            column('Age', 'date', '.metadata.creationTimestamp'),
            column('Awaits', 'string', '.status.awaits', { priority: 1 }),
          ],
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description:
                'JobKeyMigration moves the jobs of an application from one Redis key schema to another while it runs.',
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec: structural(SpecSchema),
                status: structural(StatusSchema),
              },
              'x-kubernetes-validations': RESOURCE_RULES,
            },
          },
        },
      ],
    },
  }
  return `# Do not edit: made from src/api by \`npm run generate\`.\n${stringify(crd, { lineWidth: 0, aliasDuplicateObjects: false })}`
}
