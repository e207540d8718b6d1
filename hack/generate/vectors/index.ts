import { startBench, type Bench } from './bench.ts'
import { acceptedVectors, documentVectors, followVectors, refusedVectors } from './documents.ts'
import { bucketVectors, classifyVectors, idVectors, keyVectors, templateVectors } from './ids.ts'
import { OPERATIONS, type OperationCase } from './operations.ts'
import { REFUSALS } from './refusals.ts'
import { drainVectors, routingVectors } from './routing.ts'
import { SCRIPT_CASES, type ScriptCase } from './scripts.ts'
import { recorder, tryOnce, type Call } from './tries.ts'
import type { KeyState } from './wire.ts'

type Row = Readonly<Record<string, unknown>>

export const VECTORS_FILE = 'docs/protocol-vectors.json'
/** Version of the format of the file. */
const FORMAT = 1

/** The text of the file: what the code makes of many inputs, scripts run on a Redis of their own. */
export async function vectorsText(): Promise<string> {
  const bench = await startBench()
  try {
    const templates = templateVectors()
    return render({
      templates: templates.accepted,
      templatesRefused: templates.refused,
      ids: idVectors(),
      keys: keyVectors(),
      names: classifyVectors(),
      buckets: bucketVectors(),
      documents: documentVectors(),
      documentsAccepted: acceptedVectors(),
      documentsRefused: refusedVectors(),
      following: await followVectors(),
      draining: drainVectors(),
      routing: routingVectors(),
      operations: await each(OPERATIONS, (c) => operationVector(bench, c)),
      scripts: await each([...SCRIPT_CASES, ...REFUSALS], (c) => scriptVector(bench, c)),
    })
  } finally {
    await bench.stop()
  }
}

// One vector a line: a change reads as one in a diff.
function render(sections: Readonly<Record<string, readonly Row[]>>): string {
  const lines = Object.entries(sections).map(
    ([name, rows]) =>
      `  ${JSON.stringify(name)}: [\n${rows.map((row) => `    ${JSON.stringify(row)}`).join(',\n')}\n  ]`,
  )
  return `{\n  "format": ${FORMAT},\n${lines.join(',\n')}\n}\n`
}

async function each<T>(cases: readonly T[], vector: (c: T) => Promise<Row>): Promise<Row[]> {
  const rows: Row[] = []
  for (const c of cases) rows.push(await vector(c))
  return rows
}

async function operationVector(bench: Bench, c: OperationCase): Promise<Row> {
  const { what, document, encoding = 'hash', operation } = c
  const before = sorted([...(c.fence ?? []), ...(c.before ?? [])])
  await bench.load(before)
  const { connection, calls, spans } = recorder(bench)
  const outcome = await tryOnce(connection, document, encoding, operation)
  const told = calls.filter((call) => !isEmptyReap(operation.name, call))
  return { what, document, encoding, operation, before, calls: told, ...outcome, after: await bench.state(spans) }
}

// Looking for ended leases goes with dequeue now and then; where it finds none it is no part of the vector.
const isEmptyReap = (operation: string, { script, answer }: Call): boolean =>
  operation === 'dequeue' && script === 'queue-expired' && Array.isArray(answer) && answer.length === 1

async function scriptVector(bench: Bench, { what, before = [], send }: ScriptCase): Promise<Row> {
  await bench.load(sorted(before))
  const { connection, calls, spans } = recorder(bench)
  await send(connection)
  return { what, before: sorted(before), calls, after: await bench.state(spans) }
}

const sorted = (states: readonly KeyState[]): KeyState[] => [...states].sort((a, b) => (a.key < b.key ? -1 : 1))
