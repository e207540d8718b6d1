import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RoutingSource } from '../../../src/client/routing-source.ts'
import {
  canonicalJson,
  documentHash,
  parseDocument,
  renderDocument,
  ROUTING_FILE,
} from '../../../src/protocol/document.ts'
import { errorOf } from './ids.ts'
import { DOCUMENTS, documentNamed, INPUT } from './samples.ts'

type Row = Readonly<Record<string, unknown>>

const dual = documentNamed('DualWrite 50 %')!
const text = renderDocument(dual)

/** The document with fields changed and its hash made to fit. */
function altered(over: Readonly<Record<string, unknown>>): string {
  const { hash: _hash, ...body } = { ...dual, ...over }
  return canonicalJson({ ...body, hash: documentHash(body) })
}

/** Published texts by name. */
export function documentVectors(): Row[] {
  return Object.entries(DOCUMENTS).map(([name, doc]) => ({ name, text: renderDocument(doc) }))
}

/** Texts besides those that are documents all the same. */
export function acceptedVectors(): Row[] {
  const rows: [string, string][] = [
    [
      'fields in another order, with spaces and line ends',
      JSON.stringify(Object.fromEntries(Object.entries(dual).reverse()), null, 2),
    ],
    ['fields of a later version, covered by the hash', altered({ later: { b: [1, 'x'], a: null } })],
    [
      'whole numbers, however they are spelled',
      altered({ later: [100, 2 ** 53 - 1, 0] })
        .replace('[100,', '[1.0e2,')
        .replace(',0]', ',-0]'),
    ],
    ['no queues', altered({ queues: [] })],
    ['texts that need escapes', altered({ queues: ['q"\\\n\u0001é😀'] })],
  ]
  return rows.map(([what, text]) => ({ what, text, epoch: parseDocument(text).epoch, hash: parseDocument(text).hash }))
}

export function refusedVectors(): Row[] {
  const rows: [string, string][] = [
    ['nothing', ''],
    ['half written', text.slice(0, 60)],
    ['a list', '[]'],
    ['null', 'null'],
    ['a text', '"routing"'],
    ['edited by hand', text.replace('"createTarget":50', '"createTarget":60')],
    ['another field added by hand', text.replace('{', '{"a":1,')],
    ['no hash', text.replace(/"hash":"[^"]*",/, '')],
    ['an unknown phase', altered({ phase: 'Sideways' })],
    ['a phase of later versions', altered({ phase: 'NoLegacyCreates' })],
    ['an unknown canary', altered({ canaryBy: 'User' })],
    ['epoch 0', altered({ epoch: 0 })],
    ['a negative epoch', altered({ epoch: -1 })],
    ['a broken epoch', altered({ epoch: 1.5 })],
    ['an epoch above 2^53 - 1', altered({ epoch: 2 ** 53 })],
    ['an epoch in a text', altered({ epoch: '7' })],
    ['a step below 0', altered({ step: -1 })],
    ['creates above 100 %', altered({ createTarget: 101 })],
    ['half a percent of reads', altered({ readTarget: 0.5 })],
    ['a fraction in a field that is not known', altered({ later: 0.5 })],
    ['a number that doubles do not hold', altered({ later: { n: 1 } }).replace('"n":1', '"n":12345678901234567890')],
    ['a number that is exact by chance', altered({ later: [2 ** 53] })],
    ['a number beyond all', altered({ later: [1] }).replace('[1]', '[1e400]')],
    ['a lone surrogate', altered({ queues: ['\ud800'] })],
    ['a lone surrogate in the name of a field', altered({ later: { '\udc00': 1 } })],
    ['no name', altered({ name: '' })],
    ['a name that is no text', altered({ name: 7 })],
    ['an empty workspace field', altered({ workspaceField: '' })],
    ['queues that are no list', altered({ queues: 'q' })],
    ['an empty queue', altered({ queues: [''] })],
    ['targets that is no truth value', altered({ targets: 1 })],
    ['final that is no truth value', altered({ final: null })],
    ['templates that cannot be used', altered({ target: 'x' })],
    ['the control prefix of other templates', altered({ controlPrefix: 'keyshift:0000000000000000:' })],
  ]
  return rows.map(([what, text]) => ({ what, text, why: errorOf(() => parseDocument(text)) }))
}

type Step = string | null

/** What a client follows while the file changes: `null` is an absent file. */
export async function followVectors(): Promise<Row[]> {
  const named = (name: string): string => renderDocument(documentNamed(name)!)
  const rows: [string, Step[]][] = [
    ['each higher epoch', ['Legacy', 'DualWrite 10 %', 'ReadRouting 10 %'].map(named)],
    ['not every epoch needs to be seen', [named('Legacy'), named('BackfillVerify')]],
    ['a lower epoch is not followed', [named('ReadRouting 10 %'), named('DualWrite 10 %')]],
    ['the same document again', [text, text]],
    ['an equal epoch with other content is not followed', [text, altered({ createTarget: 60 })]],
    ['what cannot be read leaves the one before', [text, text.slice(0, 60), named('DualWrite 100 %')]],
    ['a file that is taken away leaves the one before', [text, null]],
    ['no file, then the first document', [null, text]],
    ['what cannot be read first is followed by nothing', [text.slice(0, 60)]],
    ['other templates than the client has are not followed', [named('other DualWrite 50 %')]],
    [
      'another workspace field than the client has is not followed',
      [text, altered({ workspaceField: 'team', epoch: 99 })],
    ],
  ]
  const vectors: Row[] = []
  for (const [what, files] of rows) vectors.push({ what, steps: await follow(files) })
  return vectors
}

async function follow(files: readonly Step[]): Promise<Row[]> {
  const dir = mkdtempSync(join(tmpdir(), 'keyshift-routing-'))
  const seen: { epoch: number; problem: boolean } = { epoch: 0, problem: false }
  const source = new RoutingSource({
    dir,
    pollMs: 1000,
    refuse: (doc) =>
      doc.legacy === INPUT.legacy && doc.target === INPUT.target && doc.workspaceField === INPUT.workspaceField
        ? undefined
        : 'other templates',
    onDocument: ({ epoch }) => (seen.epoch = epoch),
    onProblem: (problem) => (seen.problem = problem !== undefined),
  })
  const steps: Row[] = []
  try {
    for (const file of files) {
      if (file === null) rmSync(join(dir, ROUTING_FILE), { force: true })
      else writeFileSync(join(dir, ROUTING_FILE), file)
      await source.readNow()
      steps.push({ file, ...seen })
    }
  } finally {
    source.close()
    rmSync(dir, { recursive: true, force: true })
  }
  return steps
}
