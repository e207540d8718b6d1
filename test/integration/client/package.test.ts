import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { nodeProgram, OTHER_NODES } from '../../../hack/test/nodes.ts'
import { requireProgram } from '../../../hack/local/programs.ts'
import { CLIENT_PEERS, writeClientPackage } from '../../../hack/build/client-package.ts'
import { startTestRedis, type TestRedis } from '../redis/support/redis.ts'

jest.setTimeout(120_000)
const root = join(import.meta.dirname, '../../..')
const modules = join(root, 'node_modules')
const dir = mkdtempSync(join(tmpdir(), 'keyshift-package-'))
const app = join(dir, 'app')
const installed = join(app, 'node_modules/@keyshift/client')
let tarball: string
let redis: TestRedis

beforeAll(async () => {
  const out = join(dir, 'client')
  execFileSync(process.execPath, [join(modules, 'typescript/bin/tsc'), '-p', 'tsconfig.client.json', '--outDir', out], {
    cwd: root,
  })
  writeClientPackage(root, out)
  const packed = execFileSync('npm', ['pack', '--offline', '--silent', '--pack-destination', dir], { cwd: out })
  tarball = join(dir, packed.toString().trim())
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', tarball, '-C', installed, '--strip-components', '1'])
  writeFileSync(join(app, 'package.json'), '{ "type": "module" }')
  redis = await startTestRedis()
})
afterAll(async () => {
  await redis.stop()
  rmSync(dir, { recursive: true, force: true })
})

function peers(ioredis: string, promClient = 'prom-client', into = join(app, 'node_modules')): void {
  for (const [name, from] of [
    ['ioredis', ioredis],
    ['prom-client', promClient],
  ] as const) {
    rmSync(join(into, name), { force: true })
    symlinkSync(join(modules, from), join(into, name))
  }
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}

test('it is small, has nothing but its peers, and none of the operator or the worker', () => {
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Record<string, unknown>
  expect(manifest).toMatchObject({ name: '@keyshift/client', peerDependencies: CLIENT_PEERS })
  expect(manifest['dependencies']).toBeUndefined()
  expect(statSync(tarball).size).toBeLessThan(100_000)
  const imports = new Set<string>()
  for (const file of files(installed).filter((f) => f.endsWith('.js')))
    for (const [, from = ''] of readFileSync(file, 'utf8').matchAll(
      /^(?:import|export)[^'"]*from ['"]([^.'"][^'"]*)['"]/gm,
    ))
      imports.add(from.replace(/^node:.*/, 'node'))
  expect([...imports].sort()).toEqual(['ioredis', 'node', 'prom-client'])
  expect(readFileSync(join(installed, 'redis/scripts.generated.js'), 'utf8')).not.toMatch(/worker-|control-/)
})

test('publint and arethetypeswrong find nothing: it is an ES module alone, with the types that belong to it', () => {
  const tool = (program: string, ...args: string[]) =>
    spawnSync(join(modules, '.bin', program), args, {
      encoding: 'utf8',
      cwd: dir,
      env: { ...process.env, NO_COLOR: '1' },
    })
  const publint = tool('publint', 'run', tarball, '--strict')
  expect(publint.stdout).toContain('All good!')
  expect(publint.status).toBe(0)
  const types = tool('attw', tarball, '--profile', 'esm-only', '--format', 'json')
  const { analysis } = JSON.parse(types.stdout) as { analysis: { packageName: string; problems: { kind: string }[] } }
  expect(analysis.packageName).toBe('@keyshift/client')
  // `require` gets the ES module itself: from Node 20.19 on that works, as the README says.
  expect(analysis.problems.filter(({ kind }) => kind !== 'CJSResolvesToESM')).toEqual([])
  expect(types.status).toBe(0)
})

test('its README leads to the API and to the rights, and every link of its pages works there', () => {
  const pages = files(installed).filter((file) => file.endsWith('.md'))
  expect(pages.map((file) => basename(file)).sort()).toEqual(['API.md', 'README.md', 'redis-users.md'])
  const links = pages.flatMap((page) =>
    [...readFileSync(page, 'utf8').matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].map(([, file = '', part]) => ({
      file: file === '' ? page : join(page, '..', file),
      part,
    })),
  )
  expect(links.length).toBeGreaterThan(4)
  for (const { file, part } of links) {
    const titles = [...readFileSync(file, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
      title.toLowerCase().replaceAll(' ', '-'),
    )
    if (part !== undefined) expect(titles).toContain(part)
  }
})

const USE = `
import { createKeyshiftClient, Conflict } from '@keyshift/client'
import { Registry } from 'prom-client'
const registry = new Registry()
const client = createKeyshiftClient({
  legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}', encoding: 'hash',
  redis: { address: process.env.REDIS }, metrics: { registry },
})
await client.ready()
const jobs = client.forWorkspace('w1')
await jobs.enqueue('j1', { n: '1' }, { queue: 'q' })
await jobs.update('j1', { n: '2' }, { expect: { n: '1' } })
const conflict = await jobs.update('j1', { n: '3' }, { expect: { n: '1' } }).catch((e) => e instanceof Conflict)
const delivery = await client.queue('q').dequeue()
const job = await delivery.read()
await delivery.ack()
await jobs.delete('j1')
await client.close()
console.log(JSON.stringify([conflict, job.value.n, (await registry.metrics()).includes('ai_jobs_total{workspace_id="w1",status="completed"} 1')]))
`

const NODES: [string, string][] = [
  [process.version.slice(1), process.execPath],
  ...OTHER_NODES.map((v): [string, string] => [v, nodeProgram(v)]),
]
test('Node 20, 22 and 24 are among those it is used with', () => {
  expect(NODES.map(([version]) => version.split('.')[0]).sort()).toEqual(['20', '22', '24'])
})

describe.each(NODES)('Node %s', (version, program) => {
  const onNode = existsSync(program) ? test : test.skip
  onNode.each(['ioredis', 'ioredis5'])(
    'an empty project uses it with %s, and ends by itself after close',
    (ioredis) => {
      expect(execFileSync(program, ['--version']).toString().trim()).toBe(`v${version}`)
      peers(ioredis)
      writeFileSync(join(app, 'use.js'), USE)
      const out = execFileSync(program, ['use.js'], {
        cwd: app,
        env: { ...process.env, REDIS: redis.address, NODE_OPTIONS: '' },
        timeout: 60_000,
      })
      expect(JSON.parse(out.toString())).toEqual([true, '2', true])
    },
  )

  onNode('require gives the same module', () => {
    const use = "console.log(typeof require('@keyshift/client').createKeyshiftClient)"
    const out = execFileSync(program, ['--no-warnings', '--input-type=commonjs', '--eval', use], {
      cwd: app,
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    expect(out.toString().trim()).toBe('function')
  })
})

const USE_TWICE = `
import { createRequire } from 'node:module'
import { Counter, register } from 'prom-client'
import * as esm from '@keyshift/client'
const require = createRequire(import.meta.url)
const cjs = require('@keyshift/client')
const shared = createRequire(require.resolve('shared/package.json'))
const copy = shared('@keyshift/client')
new Counter({ name: 'app_requests_total', help: 'Of the app itself' }).inc()
const said = []
const make = (from, metrics) => from.createKeyshiftClient({
  legacy: 'ai:job:{job_id}', target: 'ai:job:{workspace_id}:{job_id}', encoding: 'hash',
  redis: { address: process.env.REDIS }, metrics, log: (level, message) => said.push(level + ': ' + message),
})
const clients = [make(esm, { registry: register }), make(cjs, { registry: register }), make(copy, { registry: register }), make(copy)]
for (const [i, client] of clients.entries()) await client.forWorkspace('w1').create('twice' + i, {})
const page = await register.metrics()
for (const client of clients) await client.close()
console.log(JSON.stringify({
  page, said, copies: esm.createKeyshiftClient !== copy.createKeyshiftClient,
  majors: require('prom-client').Registry !== shared('prom-client').Registry,
}))
`

test('K9 three imports, two copies and two majors of prom-client make one set of series; without a registry it says so', () => {
  peers('ioredis', 'prom-client14')
  const nested = join(app, 'node_modules/shared/node_modules')
  cpSync(installed, join(nested, '@keyshift/client'), { recursive: true })
  writeFileSync(join(nested, '../package.json'), '{ "name": "shared", "version": "1.0.0" }')
  peers('ioredis', 'prom-client', nested)
  writeFileSync(join(app, 'twice.js'), USE_TWICE)
  const out = execFileSync(process.execPath, ['--no-warnings', 'twice.js'], {
    cwd: app,
    env: { ...process.env, REDIS: redis.address, NODE_OPTIONS: '' },
    timeout: 30_000,
  })
  const { page, said, copies, majors } = JSON.parse(out.toString()) as Record<string, string | string[] | boolean>
  expect({ copies, majors }).toEqual({ copies: true, majors: true })
  expect(said).toEqual(['warn: no metrics registry was given: the checks of a migration will find no metrics'])
  const lines = String(page).split('\n')
  expect(lines.filter((line) => line.startsWith('ai_jobs_total{workspace_id="w1",status="created"}'))).toEqual([
    'ai_jobs_total{workspace_id="w1",status="created"} 3',
  ])
  const names = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2])
  expect(new Set(names).size).toBe(names.length)
  expect(names).toContain('app_requests_total')
  execFileSync(requireProgram('promtool'), ['check', 'metrics'], { input: String(page) })
})

test('its types work in a strict TypeScript project and tell hash from json', () => {
  peers('ioredis')
  writeFileSync(
    join(app, 'use.ts'),
    `
import { createKeyshiftClient, type ClientOptions, type Codec, type Job, type Store } from '@keyshift/client'
import { Redis } from 'ioredis'
import { Registry } from 'prom-client'
const common = { legacy: 'a:{job_id}', target: 'a:{w}:{job_id}', redis: { address: 'redis://r/0', Redis }, metrics: { registry: new Registry() } }
const hash = createKeyshiftClient({ ...common, encoding: 'hash' }).forWorkspace('w')
const json = createKeyshiftClient({ ...common, encoding: 'json' }).forWorkspace('w')
export const a: Job<'hash'> | undefined = await hash.get('j')
export const b: boolean = await json.update('j', (text) => text + ' ')
export const c: boolean = await hash.update('j', { a: '1' }, { expect: { b: null } })
interface Fields { status: 'new' | 'done'; owner?: string }
interface Parsed { n: number }
const typed: Store<Fields> = createKeyshiftClient({ ...common, encoding: 'hash' }).forWorkspace<Fields>('w')
const codec: Codec<Parsed> = { parse: (text) => JSON.parse(text) as Parsed, stringify: JSON.stringify }
const parsing = createKeyshiftClient({ ...common, encoding: 'json', codec })
const parsed: Store<Parsed, 'json'> = parsing.forWorkspace('w')
export const d: 'new' | 'done' | undefined = (await typed.get('j'))?.value.status
export const e: number | undefined = (await parsed.get('j'))?.value.n
export const f: number | undefined = (await (await parsing.queue('q').dequeue())?.read())?.value.n
await typed.update('j', { status: 'done' }, { expect: { owner: null } })
await typed.mutate('j', [['HSET', 'owner', 'me'], ['HDEL', 'owner']])
await parsed.update('j', ({ n }) => ({ n: n + 1 }))
const maybe = undefined
const left: ClientOptions<'hash'> = { ...common, encoding: 'hash', routingDir: maybe, trace: maybe, podUid: process.env['POD_UID'] }
await createKeyshiftClient(left).forWorkspace('w').create('j', {}, { ttlMs: maybe, signal: maybe, operationId: maybe })
// @ts-expect-error no such status
await typed.update('j', { status: 'lost' })
// @ts-expect-error no such field
await typed.mutate('j', [['HDEL', 'other']])
// @ts-expect-error a field is missing
await typed.create('j', { owner: 'me' })
// @ts-expect-error not what the codec takes
await parsed.create('j', { m: 1 })
// @ts-expect-error fields of a hash are texts
createKeyshiftClient({ ...common, encoding: 'hash' }).forWorkspace<Parsed>('w')
// @ts-expect-error a function is for texts
await hash.update('j', (text: string) => text)
// @ts-expect-error fields are for hashes
await json.create('j', { a: '1' })
// @ts-expect-error a queue is needed
await hash.enqueue('j', { a: '1' }, {})
`,
  )
  symlinkSync(join(modules, '@types'), join(app, 'node_modules/@types'))
  const tsc = [
    join(modules, 'typescript/bin/tsc'),
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--strict',
    '--exactOptionalPropertyTypes',
    '--noEmit',
    '--types',
    'node',
    'use.ts',
  ]
  execFileSync(process.execPath, tsc, { cwd: app })
})
