import { createPrometheusClient, type PrometheusOptions } from '../../../src/prometheus/client.ts'
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

  it('carries the token, asked for each time and told when the last one was refused (O2)', async () => {
    const refusals: boolean[] = []
    const asking = client({
      token: async (refused) => {
        refusals.push(refused)
        return refused ? 'new\n' : 'old'
      },
    })
    fake.answer((asked, response) => {
      response.writeHead(asked.headers.authorization === 'Bearer new' ? 200 : 401)
      response.end(vector([]))
    })
    expect(await asking.query('up', 0)).toMatchObject({ kind: 'failed', failure: 'Refused' })
    expect(await asking.query('up', 0)).toMatchObject({ kind: 'vector' })
    expect(refusals).toEqual([false, true])
  })

  it('is not sent while the server wants to be left alone (Retry-After)', async () => {
    let now = 0
    const asking = client({ monotonic: () => now })
    answerWith(429, 'slow down', { 'retry-after': '20' })
    await asking.query('up', 0)
    answerWith(200, vector([]))
    now = 19_000
    expect(await asking.query('up', 0)).toMatchObject({
      failure: 'Unavailable',
      message: expect.stringMatching(/1 s more/) as string,
    })
    now = 21_000
    expect(await asking.query('up', 0)).toMatchObject({ kind: 'vector' })
    expect(fake.asked).toHaveLength(2)
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
      message: expect.stringMatching(/no answer within 50 ms/) as string,
    })
  })

  it('an answer longer than what is read', async () => {
    answerWith(200, vector(Array.from({ length: 100 }, (_, i) => [{ w: String(i) }, '1'] as const)))
    expect(await client({ maxBytes: 1000 }).query('q', 0)).toMatchObject({ failure: 'TooLarge' })
  })

  it('a token that cannot be read, which says whose it is', async () => {
    const asking = client({ token: () => Promise.reject(new Error('Secret prom does not exist')) })
    expect(await asking.query('q', 0)).toMatchObject({
      failure: 'Refused',
      message: expect.stringMatching(/bearer token .* Secret prom/) as string,
    })
    expect(fake.asked).toHaveLength(0)
  })
})
