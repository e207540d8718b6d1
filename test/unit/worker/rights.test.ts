import { SCRIPTS, type ScriptName } from '../../../src/redis/scripts.generated.ts'
import { neededRights } from '../../../src/worker/rights.ts'
import { parseWork } from '../../../src/worker/work-spec.ts'

const work = parseWork(
  JSON.stringify({
    jobName: 'j',
    run: 'r',
    kind: 'backfill',
    legacy: 'ai:job:{job_id}',
    target: 'ai:job:{workspace_id}:{job_id}',
    workspaceField: 'workspace_id',
    ignore: [],
    allowEmpty: false,
    onMalformed: 'Block',
    queues: [],
    redis: 'redis://h:1/0',
    maxKeysPerSecond: 1,
    maxRedisLatencyMs: 1,
    assume: {},
  }),
)

test('every command of every worker script stands in the list of needed rights', () => {
  const names = (Object.keys(SCRIPTS) as ScriptName[]).filter((name) => name.startsWith('worker-'))
  expect(names.length).toBeGreaterThanOrEqual(5)
  const used = new Set(
    names
      .flatMap((name) => [...SCRIPTS[name].source.matchAll(/redis\.p?call\('([A-Z]+)'(?:, '(USAGE)')?/g)])
      .map((m) =>
        [m[1], m[2]]
          .filter((part) => part !== undefined)
          .join('|')
          .toLowerCase(),
      ),
  )
  // A command given by a variable would escape this test.
  for (const name of names) expect(SCRIPTS[name].source).not.toMatch(/redis\.p?call\((?!')/)
  const granted = new Set(neededRights(work).map(({ command }) => command.slice(1)))
  expect([...used].filter((command) => !granted.has(command))).toEqual([])
})

test('its keys are those of no job, so that trying a command changes nothing', () => {
  const [first, second] = [neededRights(work), neededRights(work)].map((list) =>
    list.map(({ args }) => args.join(' ')).join(),
  )
  expect(first).not.toBe(second)
})
