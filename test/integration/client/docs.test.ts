import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, jest, test } from '@jest/globals'
import { parse } from 'yaml'
import { CLIENT_PEERS } from '../../../hack/build/client-package.ts'
import { blocksOf, compile, type Around, type Block } from './support/blocks.ts'

jest.setTimeout(120_000)
const root = join(import.meta.dirname, '../../..')
const README = join(root, 'docs/client.md')
const blocks = blocksOf(README)
const inLanguage = (language: string): Block[] => blocks.filter((block) => block.language === language)

/** What the sections take from the application, or from a block before. A section that is not here takes nothing. */
const AROUND: Readonly<Record<string, Around>> = {
  Use: {
    before: `declare const readPassword: () => Promise<string>; declare const logger: { log(level: string, message: string, detail: object): void }`,
  },
  'Typed jobs': {
    before: `declare const client: import('@keyshift/client').KeyshiftClient<'hash'>; declare const schema: { parse(raw: unknown): Job }; declare const options: Omit<import('@keyshift/client').ClientOptions<'json'>, 'encoding' | 'codec'>; interface Job { status: 'new' | 'running' | 'done'; owner?: string }`,
  },
  'Sentinel and TLS': {
    before: `import { readFile } from 'node:fs/promises'; declare const readPassword: () => Promise<string>, readSentinelPassword: () => Promise<string>; export const options: Pick<import('@keyshift/client').ClientOptions, 'redis'> = {`,
    after: '}',
  },
  Errors: {
    before: `declare const jobs: import('@keyshift/client').JobStore<'hash'>; declare const later: () => Promise<void>, readAndDecide: () => Promise<void>`,
  },
}

describe('README of the package', () => {
  test('every block of code is in a language that is proven here', () => {
    expect([...new Set(blocks.map(({ language }) => language))].sort()).toEqual(['sh', 'ts', 'yaml'])
    expect(inLanguage('ts').length).toBeGreaterThanOrEqual(6)
  })

  test('its TypeScript compiles, strict, as it stands there', () => {
    expect(compile(root, inLanguage('ts'), ({ section }) => AROUND[section] ?? {})).toEqual([])
  })

  test('its YAML is YAML', () => {
    for (const { text } of inLanguage('yaml'))
      expect(parse(text)).toMatchObject({ containers: [{ env: [{}, {}] }], volumes: [{}] })
  })

  test('it installs the client with its peers, and names their versions', () => {
    const text = inLanguage('sh').map((block) => block.text).join('\n') // prettier-ignore
    expect(text).toContain(`npm install @keyshift/client ${Object.keys(CLIENT_PEERS).join(' ')} `)
    for (const [name, range] of Object.entries(CLIENT_PEERS)) expect(text).toContain(`${name} ${range}`)
  })

  test('its example for OpenTelemetry is the file of examples/, which another test runs', () => {
    const [example] = inLanguage('ts').filter(({ section }) => section === 'Traces')
    expect(`${example?.text}\n`).toBe(readFileSync(join(root, 'examples/opentelemetry/trace.ts'), 'utf8'))
  })
})

test('the API page is complete: its types compile by themselves, together', () => {
  const page = join(root, 'docs/client-api.md')
  const [first, ...rest] = blocksOf(page)
  if (first === undefined) throw new Error('no block')
  const all = { ...first, text: [first, ...rest].map(({ text }) => text).join('\n') }
  expect(compile(root, [all], () => ({}))).toEqual([])
})
