import { parseTemplates } from '../../../src/protocol/templates.ts'
import { aclRules, appRights, keyshiftRights, operatorRights, workerRights } from '../../../src/redis/rights.ts'
import { SCRIPTS, type ScriptName } from '../../../src/redis/scripts.generated.ts'

const input = {
  templates: parseTemplates('ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}'),
  workspaceField: 'workspace_id',
  queues: ['ai:queue'],
}

/** Who runs which scripts, and what it sends outside of them. */
const ROLES = [
  ['the operator', operatorRights, /^control-/, ['acl', 'client', 'eval', 'evalsha', 'wait', 'del']],
  ['a worker', workerRights, /^worker-/, ['eval', 'evalsha', 'hgetall']],
  ['a client', appRights, /^(job|member|queue)-/, ['client', 'eval', 'evalsha', 'scan', 'hgetall', 'info']],
] as const

/** Commands of scripts, as they are granted. */
function commandsOf(names: readonly ScriptName[]): Set<string> {
  const called = names.flatMap((name) => [
    ...SCRIPTS[name].source.matchAll(/redis\.p?call\('([A-Z]+)'(?:, '(USAGE)')?/g),
    ...SCRIPTS[name].source.matchAll(/\bours\('[a-z]+', '([A-Z]+)'/g),
    // By a variable: job-mutate alone, out of this table.
    ...SCRIPTS[name].source.matchAll(/(?:ARITY = \{ |, )(H[A-Z]+) = \d/g),
  ])
  return new Set(called.map((m) => (m[2] === undefined ? `${m[1]}` : `${m[1]}|${m[2]}`).toLowerCase()))
}

describe.each(ROLES)('the rights of %s', (_, rightsOf, pattern, alone) => {
  const names = (Object.keys(SCRIPTS) as ScriptName[]).filter((name) => pattern.test(name))
  const used = commandsOf(names)
  const granted = new Set(rightsOf(input).map(({ command }) => command.slice(1)))

  test('hold every command of its scripts', () => {
    expect(names.length).toBeGreaterThanOrEqual(5)
    // A command given by a variable would escape this test.
    for (const name of names.filter((one) => one !== 'job-mutate')) {
      const { source } = SCRIPTS[name]
      expect(source).not.toMatch(/redis\.p?call\((?!'|command, key, |encoding == 'hash' and 'HGETALL' or 'GET')/)
      expect(source.replace('function ours(kind, command, key, ...)', '')).not.toMatch(/\bours\((?!'[a-z]+', ')/)
    }
    expect([...used].filter((command) => !granted.has(command))).toEqual([])
  })

  test('hold nothing that it does not use', () => {
    const idle = [...granted].filter((command) => !used.has(command))
    expect(idle.filter((command) => !(alone as readonly string[]).includes(command.split('|')[0] ?? ''))).toEqual([])
  })
})

test('keys are those of no job, so that trying a command changes nothing', () => {
  const names = (): string => JSON.stringify(workerRights(input).map(({ args }) => args))
  expect(names()).not.toBe(names())
})

test('the rules name each pattern and command once, and no leave to read what may be written', () => {
  const rules = aclRules(keyshiftRights(input))
  expect(new Set(rules).size).toBe(rules.length)
  expect(rules.filter((rule) => !rule.startsWith('+'))).toEqual([
    `~${input.templates.controlPrefix}*`,
    '~ai:job:*',
    '%R~ai:queue',
  ])
  expect(rules).toEqual(expect.arrayContaining(['+acl|dryrun', '+memory|usage', '+config|get']))
  expect(aclRules(appRights(input))).toContain('~ai:queue')
})
