import {
  checkId,
  classifyKey,
  controlPrefix,
  legacyKey,
  MAX_ID_BYTES,
  parseTemplate,
  parseTemplates,
  scanPattern,
  targetKey,
  TemplateError,
  type KeyClass,
} from '../../../src/protocol/templates.ts'

const LEGACY = 'ai:job:{job_id}'
const TARGET = 'ai:job:{workspace_id}:{job_id}'
const t = parseTemplates(LEGACY, TARGET)

describe('a template', () => {
  test('is cut at its placeholders', () => {
    expect(parseTemplate(TARGET)).toEqual({
      text: TARGET,
      placeholders: ['workspace_id', 'job_id'],
      literals: ['ai:job:', ':', ''],
    })
    expect(parseTemplate('plain')).toEqual({ text: 'plain', placeholders: [], literals: ['plain'] })
  })

  test.each([
    ['an open brace', 'a:{job_id', /opens no placeholder/],
    ['an empty placeholder', 'a:{}', /opens no placeholder/],
    ['a placeholder with a space', 'a:{job id}', /opens no placeholder/],
    ['a placeholder that begins with a digit', 'a:{1job}', /opens no placeholder/],
    ['a NUL, which joins the templates in the control prefix', 'a\0:{job_id}', /NUL/],
    ['a closing brace alone', 'a:{job_id}}', /without a \{/],
  ])('with %s is refused, and says how to write it', (_, text, message) => {
    expect(() => parseTemplate(text)).toThrow(TemplateError)
    expect(() => parseTemplate(text)).toThrow(message)
  })
})

describe('a pair of templates', () => {
  test('is described for those who build keys', () => {
    expect(t).toMatchObject({
      delimiter: ':',
      forbidden: ':',
      workspacePlaceholder: 'workspace_id',
      workspaceFirst: true,
      controlPrefix: 'keyshift:8160c7f4c4ec31f5:',
    })
    expect(parseTemplates('j:{job_id}', 'k:{job_id}/{tenant}').workspaceFirst).toBe(false)
  })

  test.each([
    ['equal', LEGACY, LEGACY, /nothing to migrate/],
    ['a legacy template without {job_id}', 'ai:job', TARGET, /must have \{job_id\} once/],
    ['a legacy template with another placeholder', 'ai:{id}', TARGET, /must have \{job_id\} once/],
    ['a legacy template with two placeholders', 'ai:{job_id}:{x}', TARGET, /must have \{job_id\} once/],
    ['a target without workspace', LEGACY, 'b:{job_id}', /one other placeholder/],
    ['a target without {job_id}', LEGACY, 'b:{x}:{y}', /one other placeholder/],
    ['a target with {job_id} twice', LEGACY, 'b:{job_id}:{job_id}', /one other placeholder/],
    ['a target with three placeholders', LEGACY, 'b:{x}:{y}:{job_id}', /one other placeholder/],
    ['no delimiter', LEGACY, 'b:{x}{job_id}', /needs a delimiter/],
    ['a delimiter of letters', LEGACY, 'b:{x}job{job_id}', /neither letter nor digit/],
    ['a legacy template that begins with a placeholder', '{job_id}:a', TARGET, /must begin with fixed text/],
    ['a target that begins with a placeholder', LEGACY, '{x}:{job_id}', /must begin with fixed text/],
    ['keys among the control keys', 'keyshift:{job_id}', TARGET, /keeps for itself/],
    ['keys whose ids could make control keys of them', 'key{job_id}', 'b:{w}/{job_id}', /keeps for itself/],
    ['one that reads as both', 'ai:job:x:{job_id}', 'ai:job:{w}:{job_id}', /ambiguous/],
    ['one that reads as both by its end', 'ai:{job_id}:z', 'ai:{w}:{job_id}', /ambiguous/],
  ])('that is %s is refused, and says what to change', (_, legacy, target, message) => {
    expect(() => parseTemplates(legacy, target)).toThrow(TemplateError)
    expect(() => parseTemplates(legacy, target)).toThrow(message)
  })

  test.each([
    ['beginnings that differ', 'a:{job_id}', 'b:{w}:{job_id}'],
    ['ends that differ', 'a:{job_id}:x', 'a:{w}:{job_id}:y'],
    ['a target inside the legacy gap', 'a:{job_id}:x', 'a:{w}:{job_id}:x'],
  ])('with %s is taken', (_, legacy, target) => {
    expect(parseTemplates(legacy, target).legacy.text).toBe(legacy)
  })

  test('names its control keys by a hash of both', () => {
    expect(controlPrefix(LEGACY, TARGET)).toMatch(/^keyshift:[0-9a-f]{16}:$/)
    expect(controlPrefix('a', 'bc')).not.toBe(controlPrefix('ab', 'c'))
  })
})

describe('a key', () => {
  test('is built from its ids', () => {
    expect([legacyKey(t, 'j1'), targetKey(t, 'w1', 'j1')]).toEqual(['ai:job:j1', 'ai:job:w1:j1'])
    const turned = parseTemplates('j:{job_id}:end', 'k:{job_id}/{tenant}.z')
    expect([legacyKey(turned, 'j1'), targetKey(turned, 'w1', 'j1')]).toEqual(['j:j1:end', 'k:j1/w1.z'])
    expect(classifyKey(turned, 'k:j1/w1.z')).toEqual({ kind: 'target', workspaceId: 'w1', jobId: 'j1' })
  })

  test.each<[string, KeyClass]>([
    ['ai:job:j1', { kind: 'legacy', jobId: 'j1' }],
    ['ai:job:w1:j1', { kind: 'target', workspaceId: 'w1', jobId: 'j1' }],
    ['ai:job:w1:j1:progress', { kind: 'other' }],
    ['ai:job:', { kind: 'other' }],
    ['ai:job::j1', { kind: 'other' }],
    ['ai:job:w1:', { kind: 'other' }],
    ['ai:jobs', { kind: 'other' }],
    ['xai:job:j1', { kind: 'other' }],
  ])('%s is read back', (key, expected) => {
    expect(classifyKey(t, key)).toEqual(expected)
  })

  test('shorter than its own fixed text is no key', () => {
    const tight = parseTemplates('aba{job_id}bab', 'aba{w}:{job_id}bab')
    expect(classifyKey(tight, 'abab')).toEqual({ kind: 'other' })
  })
})

describe('K12, D11: an id', () => {
  test.each([
    ['empty', '', 'is empty'],
    ['a lone surrogate', 'a\uD800', 'is not well-formed UTF-16 (a lone surrogate)'],
    ['the delimiter', 'w2:j5', 'contains ":", the delimiter of the target template'],
    ['too many bytes', 'é'.repeat(MAX_ID_BYTES / 2 + 1), `is longer than ${MAX_ID_BYTES} bytes`],
  ])('with %s is refused', (_, id, why) => {
    expect(checkId(t, id)).toBe(why)
  })

  test.each(['j1', '{}', '*?[]\\', '\0', ' j ', 'é'.repeat(MAX_ID_BYTES / 2), '😀'])('%j is taken as it is', (id) => {
    expect(checkId(t, id)).toBeUndefined()
  })
})

test('what is scanned for covers both templates and takes no character for a wildcard', () => {
  expect(scanPattern(t)).toBe('ai:job:*')
  expect(scanPattern(parseTemplates('a*[b:{job_id}', 'a*[c:{w}:{job_id}'))).toBe('a\\*\\[*')
  expect(scanPattern(parseTemplates('x\u{1F600}:{job_id}', 'x\u{1F601}:{w}:{job_id}'))).toBe('x*')
  expect(scanPattern(parseTemplates('x:{job_id}', 'y:{w}:{job_id}'))).toBe('*')
})
