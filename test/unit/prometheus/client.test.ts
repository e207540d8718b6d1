import { gzipSync } from 'node:zlib'
import { createPrometheusClient, type BearerToken, type PrometheusOptions } from '../../../src/prometheus/client.ts'
import { matrix, startFakePrometheus, vector, type FakePrometheus } from './fake-prometheus.ts'

let fake: FakePrometheus
beforeEach(async () => (fake = await startFakePrometheus()))
afterEach(() => fake.stop())

const client = (options: Partial<PrometheusOptions> = {}) => createPrometheusClient({ address: fake.url, ...options })
const answerWith = (status: number, body: string, headers: Record<string, string> = {}) =>
  fake.answer((_, response) => {
    response.writeHead(status, headers)
    response.end(body)
  })

describe('the clock', () => {
  it.each([
    [-3_600_000, /the clock of the operator's node is 3600 s behind that of Prometheus: put right/],
    [3_600_000, /the clock of the operator's node is 3600 s ahead of that of Prometheus: put right/],
  ])('that is off by %i ms gives no answer that could pass or fail, but says so', async (off, says) => {
    const asking = client({ now: () => Math.floor(Date.now() / 1000) * 1000 + off })
    const skewed = { kind: 'failed', failure: 'ClockSkew', message: expect.stringMatching(says) as string }
    expect(await asking.query('up', 0)).toMatchObject(skewed)
    expect(await asking.range({ query: 'up', start: 0, end: 1000, stepMs: 1000 })).toMatchObject(skewed)
  })

  it.each([-50_000, 50_000])(
    'that is off by less than a minute (%i ms) is fine, and so is an answer without a date',
    async (off) => {
      expect(await client({ now: () => Date.now() + off }).query('up', 0)).toMatchObject({ kind: 'vector' })
      fake.answer((_, response) => {
        response.sendDate = false
        response.end(vector([]))
      })
      expect(await client({ now: () => Date.now() + 3_600_000 }).query('up', 0)).toMatchObject({ kind: 'vector' })
    },
  )
})

describe('what is asked', () => {
  it('names query, time, and that a part of the stores is not enough (G3)', async () => {
    await client().query('up > 0', 1234567)
    expect(fake.asked[0]?.path).toBe('/api/v1/query')
    expect(Object.fromEntries(fake.asked[0]?.form ?? [])).toEqual({
      query: 'up > 0',
      time: '1234.567',
      partial_response: 'false',
      timeout: '10s',
    })
  })

  it('keeps the path of the address and gives start, end and step of a range', async () => {
    fake.answer((_, response) => response.end(matrix([])))
    await client({ address: `${fake.url}/prom/` }).range({ query: 'up', start: 1000, end: 61_000, stepMs: 30_000 })
    expect(fake.asked[0]?.path).toBe('/prom/api/v1/query_range')
    expect(fake.asked[0]?.form.get('start')).toBe('1.000')
    expect(fake.asked[0]?.form.get('end')).toBe('61.000')
    expect(fake.asked[0]?.form.get('step')).toBe('30.000')
  })

  const calls: readonly (readonly [string, number, Record<string, string>, number])[] = [
    ['in seconds', 429, { 'retry-after': '20' }, 20],
    [
      'as a date, by the clock of the server',
      503,
      { date: 'Wed, 01 Jan 2020 00:00:00 GMT', 'retry-after': 'Wed, 01 Jan 2020 00:00:20 GMT' },
      20,
    ],
    ['for a day, which is cut to five minutes', 429, { 'retry-after': '86400' }, 300],
  ]
  it.each(calls)('is not sent while the server wants to be left alone %s', async (_, status, headers, seconds) => {
    let now = 0
    const asking = client({ monotonic: () => now })
    answerWith(status, 'slow down', headers)
    await asking.query('up', 0)
    answerWith(200, vector([]))
    now = seconds * 1000 - 1000
    expect(await asking.query('up', 0)).toMatchObject({
      failure: 'Unavailable',
      message: expect.stringMatching(/left alone for 1 s more/) as string,
    })
    now += 2000
    expect(await asking.query('up', 0)).toMatchObject({ kind: 'vector' })
    expect(fake.asked).toHaveLength(2)
  })

  it.each(['', 'soon', '-5', 'Wed, 01 Jan 2020 00:00:00 GMT'])('is sent again after Retry-After: %j', async (value) => {
    const asking = client({ monotonic: () => 0 })
    answerWith(429, 'slow down', { 'retry-after': value })
    await asking.query('up', 0)
    answerWith(200, vector([]))
    expect(await asking.query('up', 0)).toMatchObject({ kind: 'vector' })
  })
})

describe('the bearer token (O2)', () => {
  let [cached, stored] = ['old', 'old']
  let freshReads = 0
  let now = 0
  const token: BearerToken = {
    source: 'Secret prom, key "token"',
    async read(fresh) {
      if (fresh) {
        freshReads += 1
        cached = stored
      }
      return cached
    },
  }
  const asking = () => client({ token, monotonic: () => now })
  beforeEach(() => {
    ;[cached, stored, freshReads, now] = ['old', 'old', 0, 0]
  })
  const accept = (valid: string, status = 401) =>
    fake.answer((asked, response) => {
      response.writeHead(asked.headers.authorization === `Bearer ${valid}` ? 200 : status)
      response.end(vector([]))
    })

  it('rotated since it was read costs no query', async () => {
    accept('new')
    stored = 'new\n'
    const querying = asking()
    const answers = await Promise.all(Array.from({ length: 4 }, () => querying.query('up', 0)))
    expect(answers.map(({ kind }) => kind)).toEqual(['vector', 'vector', 'vector', 'vector'])
    expect(freshReads).toBe(1)
  })

  it.each([
    [401, /401: it refuses the bearer token of Secret prom, key "token": put a valid one there/],
    [403, /403: the bearer token of Secret prom, key "token" has no right to query/],
  ])('that stays refused with %s is named, and read past the caches now and then only', async (status, message) => {
    accept('another', status)
    const querying = asking()
    for (let i = 0; i < 10; i += 1) {
      expect(await querying.query('up', 0)).toMatchObject({
        failure: 'Refused',
        message: expect.stringMatching(message) as string,
      })
      now += 1000
    }
    expect(freshReads).toBe(2)
    stored = 'another'
    now += 5000
    expect(await querying.query('up', 0)).toMatchObject({ kind: 'vector' })
  })

  it.each([
    ['holds what no header can carry', 'secret\u2026', /characters that no header can carry/],
    ['has two lines', 'secret\nsecret', /characters that no header can carry/],
    ['is empty', ' \n', /is empty/],
  ])('that %s is not sent and not shown', async (_, value, message) => {
    cached = value
    const answer = await asking().query('up', 0)
    expect(answer).toMatchObject({ failure: 'Refused', message: expect.stringMatching(message) as string })
    expect(JSON.stringify(answer)).not.toContain('secret')
    expect(fake.asked).toHaveLength(0)
  })

  it('that cannot be read says whose it is', async () => {
    const broken = { source: 'Secret prom', read: () => Promise.reject(new Error('it does not exist')) }
    expect(await client({ token: broken }).query('q', 0)).toMatchObject({
      failure: 'Refused',
      message: 'the bearer token of Secret prom cannot be read: it does not exist',
    })
    expect(fake.asked).toHaveLength(0)
  })

  it('does not follow a redirect', async () => {
    answerWith(307, '', { location: `${fake.url}/elsewhere` })
    expect(await asking().query('q', 0)).toMatchObject({ failure: 'NotPrometheus' })
    expect(fake.asked.map(({ path }) => path)).toEqual(['/api/v1/query'])
  })
})

describe('what is answered', () => {
  it('becomes samples with labels, ms and numbers, NaN and infinities among them', async () => {
    answerWith(
      200,
      vector([
        [{ a: 'x' }, '0.5'],
        [{}, 'NaN'],
        [{}, '+Inf'],
        [{}, '-Inf'],
      ]),
    )
    expect(await client().query('q', 0)).toEqual({
      kind: 'vector',
      samples: [
        { labels: { a: 'x' }, time: 1_000_000, value: 0.5 },
        { labels: {}, time: 1_000_000, value: NaN },
        { labels: {}, time: 1_000_000, value: Infinity },
        { labels: {}, time: 1_000_000, value: -Infinity },
      ],
      warnings: [],
      infos: [],
    })
  })

  it('may be a scalar', async () => {
    answerWith(200, JSON.stringify({ status: 'success', data: { resultType: 'scalar', result: [5, '2'] } }))
    expect(await client().query('q', 0)).toMatchObject({ kind: 'scalar', sample: { labels: {}, time: 5000, value: 2 } })
  })

  it('keeps warnings and infos apart (G3)', async () => {
    answerWith(200, vector([], { warnings: ['store away'], infos: ['not a counter'] }))
    expect(await client().query('q', 0)).toMatchObject({ warnings: ['store away'], infos: ['not a counter'] })
  })

  it('is a matrix for a range', async () => {
    answerWith(
      200,
      matrix([
        [
          { w: '1' },
          [
            [1, '3'],
            [2, 'NaN'],
          ],
        ],
      ]),
    )
    expect(await client().range({ query: 'q', start: 0, end: 0, stepMs: 1000 })).toMatchObject({
      kind: 'matrix',
      series: [
        {
          labels: { w: '1' },
          points: [
            { time: 1000, value: 3 },
            { time: 2000, value: NaN },
          ],
        },
      ],
    })
  })
})

const parseError = JSON.stringify({ status: 'error', errorType: 'bad_data', error: 'unexpected end of input' })
describe('what goes wrong is data', () => {
  const table: readonly (readonly [string, number, string, Record<string, string>, string, RegExp])[] = [
    ['a query that does not parse', 400, parseError, {}, 'BadQuery', /bad_data: unexpected end of input/],
    ['a query that cannot run', 422, parseError, {}, 'BadQuery', /refuses the query/],
    ['a 400 of something else', 400, '<html>Bad Request</html>', {}, 'NotPrometheus', /HTML \("Bad Request"\)/],
    ['an error with status 200', 200, parseError, {}, 'BadQuery', /unexpected end/],
    ['a login page', 200, '<!doctype html><title>Sign in</title>', {}, 'NotPrometheus', /HTML \("Sign in"\)/],
    [
      'a redirect to a login',
      302,
      '',
      { location: 'https://sso/login' },
      'NotPrometheus',
      /302 and points to https:\/\/sso/,
    ],
    ['a wrong path', 404, '404 page not found', {}, 'NotPrometheus', /base URL without \/api/],
    ['an empty body (G3)', 200, '', {}, 'NotPrometheus', /an empty body/],
    ['half a body', 200, vector([[{}, '1']]).slice(0, 40), {}, 'NotPrometheus', /no Prometheus JSON/],
    ['a wish for a token', 401, '', {}, 'Refused', /bearerTokenSecretRef/],
    ['an overloaded server', 503, parseError, {}, 'Unavailable', /503: bad_data/],
    ['a gateway', 502, '<h1>Bad Gateway</h1>', {}, 'Unavailable', /502/],
    ['a range selector', 200, matrix([]), {}, 'BadQuery', /take the range selector off/],
    [
      'a text',
      200,
      JSON.stringify({ status: 'success', data: { resultType: 'string', result: [1, 'x'] } }),
      {},
      'BadQuery',
      /gives a string/,
    ],
    [
      'native histograms',
      200,
      JSON.stringify({
        status: 'success',
        data: { resultType: 'vector', result: [{ metric: {}, histogram: [1, {}] }] },
      }),
      {},
      'BadQuery',
      /histogram_quantile/,
    ],
    [
      'samples without value',
      200,
      JSON.stringify({ status: 'success', data: { resultType: 'vector', result: [{ metric: {} }] } }),
      {},
      'NotPrometheus',
      /without time and value/,
    ],
  ]
  it.each(table)('%s', async (_, status, body, headers, failure, message) => {
    answerWith(status, body, headers)
    const answer = await client().query('q', 0)
    expect(answer).toMatchObject({ kind: 'failed', failure, message: expect.stringMatching(message) as string })
  })

  it('nobody listening', async () => {
    await fake.stop()
    const answer = await client().query('q', 0)
    expect(answer).toMatchObject({ failure: 'Unreachable', message: expect.stringMatching(/ECONNREFUSED/) as string })
    fake = await startFakePrometheus()
  })

  it('a server that never answers', async () => {
    fake.answer(() => undefined)
    expect(await client({ timeoutMs: 50 }).query('q', 0)).toMatchObject({
      failure: 'Unreachable',
      message: expect.stringMatching(/no whole answer within 50 ms/) as string,
    })
  })

  it('a body that comes in drops', async () => {
    fake.answer((_, response) => {
      const drip = setInterval(() => response.write(' '), 5)
      response.on('close', () => clearInterval(drip))
    })
    expect(await client({ timeoutMs: 100 }).query('q', 0)).toMatchObject({
      failure: 'Unreachable',
      message: expect.stringMatching(/no whole answer within 100 ms/) as string,
    })
  })

  it('a connection cut in the middle of the body', async () => {
    fake.answer((_, response) => {
      response.writeHead(200, { 'content-length': '1000' })
      response.write('{"status":"succ', () => response.destroy())
    })
    expect(await client().query('q', 0)).toMatchObject({ failure: 'Unreachable' })
  })

  it('an answer that is small only while it is packed', async () => {
    fake.answer((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' })
      response.end(gzipSync(Buffer.alloc(5_000_000, ' ')))
    })
    expect(await client({ maxBytes: 1_000_000 }).query('q', 0)).toMatchObject({ failure: 'TooLarge' })
  })

  it('an answer longer than what is read', async () => {
    answerWith(200, vector(Array.from({ length: 100 }, (_, i) => [{ w: String(i) }, '1'] as const)))
    expect(await client({ maxBytes: 1000 }).query('q', 0)).toMatchObject({ failure: 'TooLarge' })
  })
})
