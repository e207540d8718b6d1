import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const dir = mkdtempSync(join(tmpdir(), 'keyshift-end-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** Runs the fixture with a stdout that nobody reads until the termination message is there: the pipe is full by then. */
async function run(way: string, terminationLog = join(dir, way)) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'fixtures/ends.ts'), way, terminationLog], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  child.stdout.pause()
  const closed = once(child, 'close') as Promise<[number, string | null]>
  if (terminationLog.startsWith(dir)) {
    for (let i = 0; i < 2000 && !wrote(terminationLog); i += 1) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stdout.resume()
  const [code] = await closed
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  return { code, lines, stderr, message: wrote(terminationLog) }
}

function wrote(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

test('[O15] with stdout a full pipe the last line, the termination message and the exit code are all there', async () => {
  const { code, lines, message } = await run('leave')
  expect(code).toBe(7)
  expect(lines).toHaveLength(3001)
  expect(lines.at(-1)).toMatchObject({ level: 'error', message: 'last', error: { message: 'why' } })
  expect(message).toMatch(/^failed: é+/)
  expect(Buffer.byteLength(message)).toBeLessThanOrEqual(4096)
}, 20_000)

test.each([
  ['reject', 'unhandled rejection'],
  ['throw', 'uncaught exception'],
])(
  '%s: the process ends with 1 and says so',
  async (way, kind) => {
    const { code, lines, message } = await run(way)
    expect(code).toBe(1)
    expect(lines.at(-1)).toMatchObject({ level: 'error', message: kind, error: { message: 'nobody catches this' } })
    expect(message).toBe(`${kind}: nobody catches this`)
  },
  20_000,
)

test('the first one to leave decides the code', async () => {
  expect(await run('twice')).toMatchObject({ code: 7, message: 'first' })
}, 20_000)

test('where no termination message can be written the process ends as well', async () => {
  expect(await run('leave', '/nowhere/at/all')).toMatchObject({ code: 7, stderr: '' })
}, 20_000)
