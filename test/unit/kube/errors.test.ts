import {
  KubeError,
  errorFromAnswer,
  isAlreadyExists,
  isConflict,
  isForbidden,
  isGone,
  isInvalid,
  isNotFound,
  isTooManyRequests,
  isUnanswered,
  isUnauthorized,
  redact,
  transportError,
} from '../../../src/kube/errors.ts'

const answer = (status: number, reason: string, more: object = {}) =>
  errorFromAnswer('GET /x', status, JSON.stringify({ kind: 'Status', code: status, reason, ...more }))

describe('classification', () => {
  const tests = {
    isNotFound,
    isAlreadyExists,
    isConflict,
    isInvalid,
    isForbidden,
    isUnauthorized,
    isGone,
    isTooManyRequests,
    isUnanswered,
  }
  it.each<[string, unknown, string[]]>([
    ['404 is not found', answer(404, 'NotFound'), ['isNotFound']],
    ['409 AlreadyExists is no conflict', answer(409, 'AlreadyExists'), ['isAlreadyExists']],
    ['409 Conflict is a conflict', answer(409, 'Conflict'), ['isConflict']],
    ['409 without a body is a conflict', errorFromAnswer('GET /x', 409, ''), ['isConflict']],
    ['422 is invalid', answer(422, 'Invalid'), ['isInvalid']],
    ['403 is forbidden', answer(403, 'Forbidden'), ['isForbidden']],
    ['401 is unauthorized', answer(401, 'Unauthorized'), ['isUnauthorized']],
    ['410 Expired is gone', answer(410, 'Expired'), ['isGone']],
    ['429 is too many requests', answer(429, 'TooManyRequests'), ['isTooManyRequests']],
    ['500 is nothing special', answer(500, 'InternalError'), []],
    [
      'no answer is unanswered',
      new KubeError({ status: 0, reason: 'ConnectionFailed', message: '' }),
      ['isUnanswered'],
    ],
    ['another error is none of them', new Error('NotFound'), []],
    ['an object that only looks like one is none of them', { status: 404, reason: 'NotFound' }, []],
  ])('%s', (_, error, expected) => {
    const held = Object.entries(tests).filter(([, test]) => test(error))
    expect(held.map(([name]) => name)).toEqual(expected)
  })
})

describe('errorFromAnswer', () => {
  it('says what was asked and what the server answered', () => {
    const error = answer(403, 'Forbidden', { message: 'pods is forbidden' })
    expect(error.message).toBe('GET /x: 403 Forbidden: pods is forbidden')
    expect(error).toMatchObject({ status: 403, reason: 'Forbidden' })
  })

  it('says whose credential a 401 refused', () => {
    expect(answer(401, 'Unauthorized').message).toContain("this process's own credential")
  })

  it.each([
    ['a page of a proxy', 502, '<html>bad gateway</html>', 'Http502', '<html>bad gateway</html>'],
    ['an empty body', 503, '', 'ServiceUnavailable', '503 ServiceUnavailable'],
    ['JSON that is no object', 500, '"no"', 'InternalError', '"no"'],
    ['JSON null', 500, 'null', 'InternalError', 'null'],
  ])('makes sense of %s', (_, code, body, reason, text) => {
    const error = errorFromAnswer('GET /x', code, body)
    expect(error.reason).toBe(reason)
    expect(error.message).toContain(text)
  })

  it('takes the code of an ERROR line of a watch, which has no HTTP status', () => {
    expect(isGone(errorFromAnswer('WATCH /x', 0, { code: 410, reason: 'Expired' }))).toBe(true)
  })

  it('keeps the causes, field by field', () => {
    const causes = [{ reason: 'FieldValueInvalid', field: 'spec.keys', message: 'must differ' }]
    expect(answer(422, 'Invalid', { details: { causes } }).causes).toEqual(causes)
  })

  it.each<[string, string | undefined, object, number | undefined]>([
    ['seconds', '7', {}, 7000],
    ['an HTTP date', 'Thu, 01 Jan 2026 00:00:30 GMT', {}, 30_000],
    ['a date in the past', 'Thu, 01 Jan 2020 00:00:00 GMT', {}, 0],
    ['the Status when there is no header', undefined, { retryAfterSeconds: 3 }, 3000],
    ['nothing from nonsense', 'soon', {}, undefined],
    ['nothing when nothing is said', undefined, {}, undefined],
  ])('reads Retry-After from %s', (_, header, details, expected) => {
    const now = Date.parse('2026-01-01T00:00:00Z')
    const body = JSON.stringify({ code: 429, reason: 'TooManyRequests', details })
    expect(errorFromAnswer('GET /x', 429, body, header, now).retryAfterMs).toBe(expected)
  })

  it('cuts a message of any length', () => {
    expect(answer(500, 'InternalError', { message: 'x'.repeat(1_000_000) }).message.length).toBeLessThanOrEqual(2000)
  })
})

describe('credentials never reach a message', () => {
  const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl'
  it.each([
    ['a bearer token', 'Authorization: Bearer abc.def-123', 'abc.def-123'],
    ['a basic password', 'authorization: basic dXNlcjpwYXNz==', 'dXNlcjpwYXNz'],
    ['a bare service-account token', `token ${jwt} refused`, 'c2lnbmF0dXJl'],
    ['a password in a URL', 'connect to https://admin:s3cret@host:6443/api', 's3cret'],
    ['a private key', '-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----', 'MIIEow'],
    ['a private key cut in the middle', '-----BEGIN PRIVATE KEY-----\nMIIEow', 'MIIEow'],
  ])('%s', (_, text, secret) => {
    const error = new KubeError({
      status: 500,
      reason: 'X',
      message: text,
      causes: [{ reason: '', field: '', message: text }],
    })
    expect(error.message).not.toContain(secret)
    expect(error.causes[0]?.message).not.toContain(secret)
    expect(error.message).toContain('[redacted]')
  })

  it('leaves an ordinary message alone', () => {
    const text = 'GET /api/v1/pods: 403 Forbidden: User "system:serviceaccount:a:b" cannot list https://host:6443'
    expect(redact(text)).toBe(text)
  })
})

describe('transportError', () => {
  it('names the code of the system', () => {
    const error = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), { code: 'ECONNREFUSED' })
    const made = transportError('GET /x', error, new AbortController().signal)
    expect(made).toMatchObject({ status: 0, reason: 'ConnectionFailed' })
    expect(made.message).toBe('GET /x: no answer: connect ECONNREFUSED 127.0.0.1:1')
  })

  it('gives the reason of an aborted signal instead', () => {
    const reason = new Error('stopping')
    expect(transportError('GET /x', new Error('aborted'), AbortSignal.abort(reason))).toBe(reason)
  })
})
