import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

const RETRIES = ['safe', 'remembered', 'decide', 'never']

/** What docs/client-api.md shows of the types that the client exports, in this order. */
const SECTIONS: Readonly<Record<string, readonly string[]>> = {
  'The client': ['KeyshiftClient', 'ClientState'],
  Options: [
    'ClientOptions',
    'Encoding',
    'Codec',
    'Credentials',
    'TlsOptions',
    'RedisConstructor',
    'MetricsOptions',
    'MetricName',
    'MetricsRegistry',
  ],
  Jobs: [
    'JobStore',
    'Store',
    'Job',
    'Stored',
    'Typed',
    'Field',
    'Fields',
    'UpdateHash',
    'UpdateText',
    'MutateCommand',
    'Expiry',
  ],
  'Options of a call': ['OperationOptions', 'WriteOptions', 'CreateOptions', 'DequeueOptions'],
  Queues: ['Queue', 'Delivery'],
  Traces: ['TracedOperation', 'TracedEnd'],
}

/** `docs/client-api.md`: every type that the client exports, as its source has it, and its errors. */
export function clientApiPage(root: string): string {
  const own = read(join(root, 'src/client/types.ts'))
  const types = new Map([...read(join(root, 'src/redis/session.ts')), ...read(join(root, 'src/redis/tls.ts')), ...own])
  const shown = Object.values(SECTIONS).flat()
  const missed = [...own.keys()].filter((name) => !shown.includes(name))
  if (missed.length > 0) throw new Error(`hack/generate/client-api.ts has no section for ${missed.join(', ')}`)
  const redisErrors = read(join(root, 'src/redis/errors.ts'))
  const errors = [...read(join(root, 'src/client/errors.ts')).values(), ...redisErrors.values()]
  return [
    '<!-- Do not edit: made from src/client and src/redis/errors.ts by `npm run generate`. -->',
    '# API of the client',
    '',
    'What `@keyshift/client` exports: `createKeyshiftClient(options: ClientOptions): KeyshiftClient`, these types, and the [errors](#errors).',
    'How it is used: [the client](client.md).',
    '',
    ...Object.entries(SECTIONS).flatMap(([title, names]) => [
      `## ${title}`,
      '',
      ...names.flatMap((name) => ['```ts', sourceOf(types.get(name)), '```', '']),
    ]),
    '## Errors',
    '',
    commentOf(redisErrors.get('KeyshiftError')).join(' '),
    '',
    '| `retry` | what the caller may do next |',
    '|---|---|',
    ...commentOf(redisErrors.get('Retry'))
      .slice(1)
      .map((line) => `| ${line.replace(': ', ' | ')} |`),
    '',
    '| error | `code` | thrown when | `retry` |',
    '|---|---|---|---|',
    ...errors.filter(isThrown).map((error) => {
      const { code, retry } = literalsOf(error)
      return `| \`${error.name?.text ?? ''}\` | \`${code}\` | ${commentOf(error).join(' ')} | ${retry} |`
    }),
    '',
  ].join('\n')
}

type Declared = ts.InterfaceDeclaration | ts.TypeAliasDeclaration | ts.ClassDeclaration

/** Exported types and classes of a file, by name. */
function read(file: string): ReadonlyMap<string, Declared> {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true)
  const found = source.statements.filter(
    (s): s is Declared => ts.isInterfaceDeclaration(s) || ts.isTypeAliasDeclaration(s) || ts.isClassDeclaration(s),
  )
  return new Map(found.map((s) => [s.name?.text ?? '', s]))
}

function sourceOf(node: Declared | undefined): string {
  if (node === undefined) throw new Error('hack/generate/client-api.ts names a type that is not there')
  const source = node.getSourceFile()
  return source.text.slice(node.getStart(source, true), node.end).replace(/^export /m, '')
}

/** Its comment, a line for each one that ends a sentence. */
function commentOf(node: Declared | undefined): string[] {
  const comment = node === undefined ? undefined : ts.getJSDocCommentsAndTags(node).at(-1)
  const text = ts.getTextOfJSDocComment(comment?.comment) ?? ''
  return text.replace(/([^.])\n/g, '$1 ').split('\n')
}

function isThrown(node: Declared): node is ts.ClassDeclaration {
  return ts.isClassDeclaration(node) && !(node.modifiers ?? []).some((m) => m.kind === ts.SyntaxKind.AbstractKeyword)
}

/** The code that the constructor hands to its base, and what `retry` can be. */
function literalsOf(node: ts.ClassDeclaration): { code: string; retry: string } {
  const texts: string[] = []
  const visit = (child: ts.Node): void => {
    if (ts.isStringLiteral(child) && !ts.isLiteralTypeNode(child.parent)) texts.push(child.text)
    ts.forEachChild(child, visit)
  }
  visit(node)
  const code = texts.find((text) => /^[A-Z]+(_[A-Z]+)*$/.test(text) && text !== 'MAXCLIENTS') ?? ''
  return { code, retry: RETRIES.filter((name) => texts.includes(name)).map((name) => `\`${name}\``).join(' or ') } // prettier-ignore
}
