import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { createKubeClient } from '../../../src/kube/client.ts'
import { CONFIG_MAPS } from '../../../src/kube/resources.ts'
import { watchLines } from '../../../src/kube/wire.ts'
import { endedWatch, hangUp, json, openWatch, silence, startFakeApiServer, status } from './fake-api-server.ts'
import type { Answer, FakeApiServer } from './fake-api-server.ts'

let api: FakeApiServer
beforeEach(async () => (api = await startFakeApiServer()))
afterEach(() => api.stop())

const event = (type: string, name: string) => ({ type, object: { metadata: { name } } })

function watch(limits: { openMs?: number; silenceMs?: number } = {}, signal = new AbortController().signal) {
  const statuses: number[] = []
  const onAnswer = (code: number) => statuses.push(code)
  const lines = watchLines(api.connection, '/x?watch=true', signal, {
    openMs: 5000,
    silenceMs: 5000,
    ...limits,
    onAnswer,
  })
  return { lines, statuses }
}

/** Reads to the end; what was thrown comes last. */
async function readAll(lines: AsyncIterable<{ type: string }>): Promise<unknown[]> {
  const read: unknown[] = []
  try {
    for await (const line of lines) read.push(line.type)
  } catch (error) {
    read.push(error)
  }
  return read
}

/** Waits for the server to see every watch closed. */
async function closed(): Promise<void> {
  while (api.watches.length > 0) await new Promise((resolve) => setImmediate(resolve))
}

describe('a watch', () => {
  it('asks for bookmarks and an end by the server', async () => {
    api.script(endedWatch())
    const client = createKubeClient(api.connection)
    const query = { namespace: 'ns', labelSelector: 'a=b', resourceVersion: '7' }
    await readAll(client.watch(CONFIG_MAPS, query, new AbortController().signal))
    expect(api.seen[0]?.path).toBe('/api/v1/namespaces/ns/configmaps')
    expect(Object.fromEntries(api.seen[0]?.query ?? [])).toEqual({
      watch: 'true',
      allowWatchBookmarks: 'true',
      labelSelector: 'a=b',
      resourceVersion: '7',
      timeoutSeconds: '25',
    })
  })

  it('yields its events and ends when the server ends it', async () => {
    api.script(endedWatch(event('ADDED', 'a'), event('BOOKMARK', '')))
    const { lines, statuses } = watch()
    expect(await readAll(lines)).toEqual(['ADDED', 'BOOKMARK'])
    expect(statuses).toEqual([200])
  })

  it('joins a line that comes in pieces, also within a character', async () => {
    const bytes = Buffer.from(`${JSON.stringify(event('ADDED', 'ключ'))}\n`)
    const middle = bytes.indexOf(Buffer.from('ю')) + 1
    const stream = Readable.from([bytes.subarray(0, middle), bytes.subarray(middle)]) as IncomingMessage
    const open = async () => ({ status: 200, retryAfter: undefined, date: undefined, stream })
    const limits = { openMs: 5000, silenceMs: 5000, onAnswer: () => undefined }
    const lines = watchLines({ ...api.connection, open }, '/x', new AbortController().signal, limits)
    const read: unknown[] = []
    for await (const line of lines) read.push(line)
    expect(read).toEqual([event('ADDED', 'ключ')])
  })

  it.each<[string, Answer, object]>([
    [
      'an ERROR line',
      endedWatch({ type: 'ERROR', object: status(410, 'Expired') }),
      { status: 410, reason: 'Expired' },
    ],
    ['a refusal', json(403, status(403, 'Forbidden')), { status: 403 }],
    ['a busy server', json(429, {}, { 'retry-after': '2' }), { status: 429, retryAfterMs: 2000 }],
    ['no answer', hangUp, { status: 0, reason: 'ConnectionFailed' }],
    ['a line that is not JSON', (r) => void r.writeHead(200).end('<html>\n'), { status: 0, reason: 'BadAnswer' }],
    ['an end inside a line', (r) => void r.writeHead(200).end('{"type":"ADD'), { reason: 'ConnectionFailed' }],
  ])('throws on %s', async (_, answer, expected) => {
    api.script(answer)
    expect(await readAll(watch().lines)).toEqual([expect.objectContaining(expected)])
  })

  it('throws when the connection is cut, after the events before', async () => {
    api.script((response, request) => {
      openWatch(event('ADDED', 'a'))(response, request)
      response.write('\n', () => response.destroy())
    })
    expect(await readAll(watch().lines)).toEqual(['ADDED', expect.objectContaining({ reason: 'ConnectionFailed' })])
  })

  it('that opens and says nothing is cut', async () => {
    api.script(openWatch())
    const { lines, statuses } = watch({ silenceMs: 30 })
    expect(await readAll(lines)).toEqual([expect.objectContaining({ reason: 'RequestTimeout' })])
    expect(statuses).toEqual([200])
    await closed()
  })

  it('that falls silent is cut', async () => {
    api.script(openWatch(event('ADDED', 'a')))
    const read = await readAll(watch({ silenceMs: 30 }).lines)
    expect(read).toEqual(['ADDED', expect.objectContaining({ reason: 'RequestTimeout' })])
    await closed()
  })

  it('that does not open is cut', async () => {
    api.script(silence)
    const { lines, statuses } = watch({ openMs: 30 })
    expect(await readAll(lines)).toEqual([expect.objectContaining({ reason: 'RequestTimeout' })])
    expect(statuses).toEqual([0])
    await closed()
  })

  it('closes its connection when the reader leaves', async () => {
    api.script(openWatch(event('ADDED', 'a')))
    for await (const _ of watch().lines) break
    await closed()
  })

  it('does not swallow what the reader throws, and closes its connection', async () => {
    api.script(openWatch(event('ADDED', 'a')))
    const reader = async () => {
      for await (const _ of watch().lines) throw new RangeError('reader broke')
    }
    await expect(reader()).rejects.toThrow(RangeError)
    await closed()
  })

  it('ends with the reason of its signal', async () => {
    const stop = new AbortController()
    api.script(openWatch(event('ADDED', 'a')))
    const { lines } = watch({}, stop.signal)
    await lines.next()
    stop.abort(new Error('stopping'))
    await expect(lines.next()).rejects.toThrow('stopping')
    await closed()
  })
})
