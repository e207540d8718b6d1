import { Socket } from 'node:net'
import { ReplyError } from 'ioredis'
import { KubeError } from '../../../src/kube/errors.ts'
import { createLog, type Log } from '../../../src/platform/logger.ts'
import type { LineStream } from '../../../src/platform/line-sink.ts'

/** A stream whose reader takes lines when the test says so. */
class Pipe implements LineStream {
  readonly lines: string[] = []
  readonly #held: ((error?: Error | null) => void)[] = []
  #fail: ((error: Error) => void) | undefined
  open = true
  write(text: string, done: (error?: Error | null) => void): boolean {
    this.lines.push(text)
    if (this.open) done()
    else this.#held.push(done)
    return this.open
  }
  on(_event: 'error', listener: (error: Error) => void): this {
    this.#fail = listener
    return this
  }
  drain(): void {
    this.open = true
    for (const done of this.#held.splice(0)) done()
  }
  break(): void {
    this.#fail?.(new Error('EPIPE'))
  }
}

let pipe: Pipe
let log: Log
beforeEach(() => {
  pipe = new Pipe()
  log = createLog({ level: 'info', stream: pipe, now: () => Date.UTC(2026, 0, 1) })
})
const entries = () => pipe.lines.map((line) => JSON.parse(line) as Record<string, unknown>)

test('a line is JSON with time, level, message and the fields of the logger', async () => {
  log.logger.child({ resource: 'ns/a' }).child({ kind: 'x' }).warn('hello', { n: 1 })
  await log.flush(1000)
  expect(pipe.lines).toEqual([
    '{"time":"2026-01-01T00:00:00.000Z","level":"warn","message":"hello","resource":"ns/a","kind":"x","n":1}\n',
  ])
})

test('lines below the level are left out, also after the level changes', async () => {
  log.logger.debug('no')
  log.setLevel('debug')
  log.logger.debug('yes')
  log.setLevel('error')
  log.logger.warn('no')
  await log.flush(1000)
  expect(entries().map((e) => e['message'])).toEqual(['yes'])
})

test('fields cannot pose as time, level or message', async () => {
  log.logger.info('real', { message: 'false', level: 'false', time: 'false' })
  await log.flush(1000)
  expect(entries()[0]).toMatchObject({ message: 'real', level: 'info', time: '2026-01-01T00:00:00.000Z' })
})

test('[O15] values that cannot be logged do not stop later lines', async () => {
  const cycle: Record<string, unknown> = { n: 1n }
  cycle['self'] = cycle
  const broken = Object.defineProperty({}, 'x', { enumerable: true, get: () => { throw new Error('boom') } }) // prettier-ignore
  for (const value of [
    cycle,
    broken,
    new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('y')
        },
      },
    ),
    'x'.repeat(5_000_000),
  ])
    // prettier-ignore
    log.logger.error('bad', { value })
  for (let i = 0; i < 100; i += 1) log.logger.info(`later ${i}`)
  await log.flush(1000)
  expect(entries()).toHaveLength(104)
  expect(entries().at(-1)?.['message']).toBe('later 99')
  for (const line of pipe.lines) expect(line.length).toBeLessThan(70_000)
})

test('[O15] errors as libraries throw them, with all that hangs on them, are logged, cut and without secrets', async () => {
  log.addSecret('s3cr3t-value')
  const socket = new Socket()
  const request: Record<string, unknown> = { socket, path: '/api', n: 10n }
  const response = { request, status: 500, data: 'x'.repeat(5_000_000), headers: { authorization: 'Bearer abc' } }
  request['response'] = response
  const http = Object.assign(new Error('Request failed with status code 500'), {
    config: { url: 'http://u:hunter2@h/', auth: { username: 'u', password: 'hunter2' } },
    request,
    response,
    toJSON: () => {
      throw new Error('no JSON')
    },
  })
  const redis = Object.assign(new (ReplyError as new (message: string) => Error)('WRONGPASS s3cr3t-value'), {
    command: { name: 'auth', args: ['s3cr3t-value'] },
  })
  const kube = new KubeError({
    status: 422,
    reason: 'Invalid',
    message: `PATCH /x: ${'y'.repeat(5_000_000)}`,
    causes: [],
  })
  const hostile = new Error('hostile')
  Object.defineProperty(hostile, 'stack', { get: () => { throw new Error('no stack') } }) // prettier-ignore
  Object.defineProperty(hostile, 'message', { get: () => { throw new Error('no message') } }) // prettier-ignore
  const errors = [http, redis, kube, hostile, new AggregateError([http, redis], 'both')]
  for (const error of errors) log.logger.error('failed', { error })
  log.logger.info('later')
  await log.flush(1000)
  socket.destroy()
  expect(entries().map(({ message }) => message)).toEqual([...errors.map(() => 'failed'), 'later'])
  for (const line of pipe.lines) expect(line.length).toBeLessThan(70_000)
  expect(pipe.lines.join('')).not.toMatch(/hunter2|s3cr3t-value|Bearer abc/)
  expect(entries()[0]).toMatchObject({ error: { message: 'Request failed with status code 500' } })
  expect(entries()[2]).toMatchObject({ error: { name: 'KubeError', reason: 'Invalid' } })
})

test('a line that is too long as a whole is cut, and still JSON', async () => {
  const big = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`k${i}`, 'x'.repeat(3900)]))
  log.logger.error('long', big)
  await log.flush(1000)
  expect(entries()[0]).toMatchObject({ message: 'long', level: 'error', cut: expect.stringContaining('xxx') as string })
  expect(pipe.lines[0]?.length).toBeLessThan(70_000)
})

test('a registered secret is in no later line, message or field', async () => {
  log.addSecret('s3cr3t-value\n')
  log.addSecret('')
  log.logger.info('uses s3cr3t-value', { a: { b: 's3cr3t-value' } })
  await log.flush(1000)
  expect(pipe.lines.join()).not.toContain('s3cr3t-value')
})

test('flush waits until a slow reader has taken every line', async () => {
  pipe.open = false
  for (let i = 0; i < 50; i += 1) log.logger.info(`line ${i}`)
  let flushed = false
  const flush = log.flush(60_000).then(() => (flushed = true))
  while (pipe.lines.length < 50) await new Promise((resolve) => setImmediate(resolve))
  expect(flushed).toBe(false)
  pipe.drain()
  await flush
  expect(pipe.lines).toHaveLength(50)
})

test('flush ends at its limit when nobody reads', async () => {
  pipe.open = false
  log.logger.info('x')
  await log.flush(1)
})

test('a reader that went away ends neither the process nor a flush', async () => {
  pipe.open = false
  log.logger.info('x')
  const flush = log.flush(60_000)
  await new Promise((resolve) => setImmediate(resolve))
  pipe.break()
  await flush
  log.logger.info('swallowed')
  await log.flush(60_000)
  expect(pipe.lines).toHaveLength(1)
})

test('what a reader leaves unread is bounded, and the loss is told', async () => {
  pipe.open = false
  const text = 'x'.repeat(3000)
  for (let i = 0; i < 9000; i += 1) {
    log.logger.info('m', { text })
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  while (pipe.lines.length < 5000) await new Promise((resolve) => setImmediate(resolve))
  for (let i = 0; i < 20; i += 1) await new Promise((resolve) => setImmediate(resolve))
  const kept = pipe.lines.length
  expect(kept).toBeLessThan(6000)
  pipe.drain()
  log.logger.info('after')
  await log.flush(1000)
  expect(entries().at(-2)?.['message']).toBe(`${9000 - kept} log lines dropped: stdout is not read`)
  expect(entries().at(-1)?.['message']).toBe('after')
})
