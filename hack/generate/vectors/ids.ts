import { bucketOf, isSelected } from '../../../src/protocol/bucket.ts'
import {
  checkId,
  classifyKey,
  legacyKey,
  parseTemplates,
  scanPattern,
  targetKey,
} from '../../../src/protocol/templates.ts'
import { idOfBucket, INPUT, OTHER } from './samples.ts'

type Row = Readonly<Record<string, unknown>>

/** An id as JSON can hold it: one that is no well-formed text as its UTF-16 units. */
const idOf = (id: string): unknown =>
  id.isWellFormed() ? id : { utf16: Array.from({ length: id.length }, (_, i) => id.charCodeAt(i)) }

const PAIRS: readonly (readonly [string, string])[] = [
  [INPUT.legacy, INPUT.target],
  [OTHER.legacy, OTHER.target],
  ['a[1]*:{job_id}', 'a[1]*:t:{ws}/{job_id}'],
  ['läuft:{job_id}', 'läuft:{ws}::{job_id}:ende'],
  ['x😀{job_id}', 'x😁{job_id}😀{w}'],
  ['old:{job_id}', 'new:{job_id}#{team}'],
]

const REFUSED_PAIRS: readonly (readonly [string, string])[] = [
  ['a:{job_id}', 'a:{job_id}'],
  ['a:{id}', 'a:{w}:{job_id}'],
  ['a:{job_id}:{job_id}', 'a:{w}:{job_id}'],
  ['a:{job_id}', 'b:{job_id}'],
  ['a:{job_id}', 'a:{w}:{x}:{job_id}'],
  ['a:{job_id}', 'a:{w}{job_id}'],
  ['a:{job_id}', 'a:{w}x{job_id}'],
  ['a:{job_id}', 'a:{w}9:{job_id}'],
  ['{job_id}', 'a:{w}:{job_id}'],
  ['a:{job_id}', '{w}:{job_id}'],
  ['keyshift:{job_id}', 'a:{w}:{job_id}'],
  ['key{job_id}', 'a:{w}:{job_id}'],
  ['a:b:{job_id}', 'a:{w}:{job_id}'],
  ['a:{job_id}x', 'a:{w}:{job_id}'],
  ['a:{job_id', 'a:{w}:{job_id}'],
  ['a:}{job_id}', 'a:{w}:{job_id}'],
  ['a:{job id}', 'a:{w}:{job_id}'],
  ['a:\0{job_id}', 'a:{w}:{job_id}'],
]

export function templateVectors(): { accepted: Row[]; refused: Row[] } {
  return {
    accepted: PAIRS.map(([legacy, target]) => {
      const { controlPrefix, delimiter, forbidden, workspacePlaceholder, workspaceFirst } = parseTemplates(
        legacy,
        target,
      )
      const pattern = scanPattern(parseTemplates(legacy, target))
      return {
        legacy,
        target,
        controlPrefix,
        delimiter,
        forbidden,
        workspacePlaceholder,
        workspaceFirst,
        scanPattern: pattern,
      }
    }),
    refused: REFUSED_PAIRS.map(([legacy, target]) => ({
      legacy,
      target,
      why: errorOf(() => parseTemplates(legacy, target)),
    })),
  }
}

/** Message of what `act` throws. @throws Error where it does not */
export function errorOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    return (error as Error).message
  }
  throw new Error('was to be refused')
}

// prettier-ignore
const IDS: readonly string[] = [
  'j1', 'J1', '0', ' ', ' j1', 'j 1', 'j\n1', 'a/b', 'a{b}', '*', '?', '[a]', '\\', '"', '%', '\0', 'é', 'e\u0301', 'ー', '😀', '\ufeff', '\uffff',
  '__proto__', 'x'.repeat(512), 'é'.repeat(256), '', ':', 'w1:j1', 'j1:', '|', 'a|>b', 'x'.repeat(513), 'é'.repeat(257), '\ud800', 'a\udc00b', '\ud83dx',
]

export function idVectors(): Row[] {
  return [INPUT, OTHER].flatMap(({ legacy, target }) =>
    IDS.map((id) => ({ legacy, target, id: idOf(id), refused: checkId(parseTemplates(legacy, target), id) ?? null })),
  )
}

export function keyVectors(): Row[] {
  // prettier-ignore
  const pairs = [['w1', 'j1'], ['w 1', 'j/1'], ['é', '😀'], ['*', '[a]?'], ['w', '\0'], ['0', '-1']] as const
  return PAIRS.flatMap(([legacy, target]) => {
    const t = parseTemplates(legacy, target)
    return pairs
      .filter((ids) => ids.every((id) => checkId(t, id) === undefined))
      .map(([workspaceId, jobId]) => ({
        ...{ legacy, target, workspaceId, jobId },
        legacyKey: legacyKey(t, jobId),
        targetKey: targetKey(t, workspaceId, jobId),
      }))
  })
}

// prettier-ignore
const NAMES: readonly (readonly [readonly [string, string], readonly string[]])[] = [
  [[INPUT.legacy, INPUT.target], ['ai:job:j1', 'ai:job:w1:j1', 'ai:job:', 'ai:job::', 'ai:job:w1:', 'ai:job::j1', 'ai:job:w1:j1:progress', 'ai:job', 'xai:job:j1', `ai:job:${'x'.repeat(513)}`]],
  [[OTHER.legacy, OTHER.target], ['job/j1/v1', 'job/j1|>w1/v1', 'job/j1|w1/v1', 'job/j1|>w|1/v1', 'job//v1', 'job/v1', 'job/|>w1/v1', 'job/j1|>w1/v2']],
  [['old:{job_id}', 'new:{job_id}#{team}'], ['old:a', 'new:a#b', 'new:a', 'old:a#b']],
]

export function classifyVectors(): Row[] {
  return NAMES.flatMap(([[legacy, target], keys]) =>
    keys.map((key) => ({ legacy, target, key, ...classifyKey(parseTemplates(legacy, target), key) })),
  )
}

export function bucketVectors(): Row[] {
  const edges = [0, 99, 100, 999, 1000, 4999, 5000, 9999].map((bucket) => idOfBucket(INPUT.name, 'j', bucket))
  const rows = [...edges, 'w1', 'é', '😀', 'x'.repeat(512)].map((id) => [INPUT.name, id] as const)
  return [...rows, [OTHER.name, 'j1'] as const].map(([name, id]) => ({
    name,
    id,
    bucket: bucketOf(name, id),
    selectedAt: [0, 1, 10, 50, 100].filter((percent) => isSelected(name, id, percent)),
  }))
}
