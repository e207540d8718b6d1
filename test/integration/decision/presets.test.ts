import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { requireProgram } from '../../../hack/local/programs.ts'
import { presetChecks } from '../../../src/decision/presets.ts'

/** Series as promtool writes them: `start+step x times`, one sample each 15 s. */
type Series = Readonly<Record<string, string>>

interface Case {
  readonly name: string
  readonly check: string
  readonly series: Series
  /** Minutes after the first sample. */
  readonly at: number
  /** Labels of each element of the answer -> value. */
  readonly expected: Readonly<Record<string, number>>
}

const W1 = '{workspace_id="w1"}'
const jobs = (workspace: string, status: string, pod = 'p1'): string =>
  `ai_jobs_total{workspace_id="${workspace}", status="${status}", pod="${pod}"}`

const CASES: readonly Case[] = [
  {
    name: 'G1a: a workspace without one failure has an error rate of 0, not no data',
    check: 'error-rate',
    series: { [jobs('w1', 'completed')]: '0+10x80' },
    at: 10,
    expected: { [W1]: 0 },
  },
  {
    name: 'a failure in twenty is an error rate of 5 %',
    check: 'error-rate',
    series: { [jobs('w1', 'completed')]: '0+19x80', [jobs('w1', 'failed')]: '0+1x80' },
    at: 10,
    expected: { [W1]: 0.05 },
  },
  {
    name: 'G1b: a burst of failures before the first scrape of a new workspace is seen, though nothing follows',
    check: 'error-rate',
    series: {
      [jobs('w1', 'completed')]: '0+10x80',
      [jobs('w2', 'failed')]: '_x39 500+0x40',
      [jobs('w2', 'completed')]: '_x39 0+0x40',
    },
    at: 12,
    expected: { [W1]: 0, '{workspace_id="w2"}': 1 },
  },
  {
    name: 'G1c: the burst is seen although its pod has restarted since',
    check: 'error-rate',
    series: {
      [jobs('w1', 'completed')]: '0+10x80',
      [jobs('w2', 'failed')]: '_x39 500+0x3 stale',
      [jobs('w2', 'completed', 'p2')]: '_x44 1+0x40',
    },
    at: 12,
    expected: { [W1]: 0, '{workspace_id="w2"}': 500 / 501 },
  },
  {
    name: 'a Prometheus that has just begun does not take the past of the counters for the present',
    check: 'error-rate',
    series: { [jobs('w1', 'completed')]: '1000+100x80', [jobs('w1', 'failed')]: '900+0x80' },
    at: 3,
    expected: { [W1]: 0 },
  },
  {
    name: 'an idle workspace is left out',
    check: 'error-rate',
    series: { [jobs('w1', 'completed')]: '0+10x80', [jobs('w2', 'completed')]: '7+0x80' },
    at: 10,
    expected: { [W1]: 0 },
  },
  {
    name: 'an application without traffic gives no data',
    check: 'error-rate',
    series: { [jobs('w1', 'completed')]: '7+0x80' },
    at: 10,
    expected: {},
  },
  {
    name: 'the worst workspace is not thinned out by the others',
    check: 'error-rate',
    series: {
      [jobs('w1', 'completed')]: '0+1000x80',
      [jobs('w2', 'completed')]: '0+1x80',
      [jobs('w2', 'failed')]: '0+1x80',
    },
    at: 10,
    expected: { [W1]: 0, '{workspace_id="w2"}': 0.5 },
  },
  {
    name: 'isolation is the share of denials in all decisions',
    check: 'isolation',
    series: {
      'security_decisions_total{workspace_id="w1", result="allow"}': '0+9x80',
      'security_decisions_total{workspace_id="w2", result="deny"}': '0+1x80',
    },
    at: 10,
    expected: { '{}': 0.1 },
  },
  {
    name: 'isolation is 0 where nothing was ever denied',
    check: 'isolation',
    series: { 'security_decisions_total{workspace_id="w1", result="allow"}': '0+9x80' },
    at: 10,
    expected: { '{}': 0 },
  },
  {
    name: 'stale-epoch looks at its own migration alone',
    check: 'stale-epoch',
    series: {
      'keyshift_client_operations_total{migration="ai-jobs"}': '0+50x80',
      'keyshift_client_stale_epoch_total{migration="ai-jobs"}': '0+1x80',
      'keyshift_client_operations_total{migration="other"}': '0+1x80',
      'keyshift_client_stale_epoch_total{migration="other"}': '0+1x80',
    },
    at: 10,
    expected: { '{}': 0.02 },
  },
]

describe('preset checks on the Prometheus engine', () => {
  test.each(CASES)('$name', async ({ check, series, at, expected }) => {
    const query = presetChecks('ai-jobs').find(({ name }) => name === check)?.query ?? ''
    const tests = {
      evaluation_interval: '15s',
      tests: [
        {
          interval: '15s',
          input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
          promql_expr_test: [
            {
              expr: query,
              eval_time: `${at}m`,
              exp_samples: Object.entries(expected).map(([labels, value]) => ({ labels, value })),
            },
          ],
        },
      ],
    }
    const dir = mkdtempSync(join(tmpdir(), 'keyshift-presets-'))
    try {
      writeFileSync(join(dir, 'test.yml'), stringify(tests))
      await promisify(execFile)(requireProgram('promtool'), ['test', 'rules', join(dir, 'test.yml')])
    } catch (error) {
      const { stderr = '', stdout = '' } = error as { stderr?: string; stdout?: string }
      throw new Error(`${stdout}${stderr}`, { cause: error })
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  })
})
