import { readFileSync } from 'node:fs'
import { run } from '../../hack/system/run.ts'
import { dropNamespaces, events, read, type Stand } from './support.ts'

const NAMESPACE = 'trial'

/** The `sh` blocks of a page, in order, with the heading that they stand under. */
export function shellBlocks(markdown: string): readonly { readonly heading: string; readonly script: string }[] {
  const parts = markdown.split(/^## /m).slice(1)
  return parts.flatMap((part) => {
    const heading = part.slice(0, part.indexOf('\n'))
    return [...part.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => ({ heading, script: match[1] ?? '' }))
  })
}

/** docs/tutorial.md, every block as it is printed, in a shell. */
export function tutorial(stand: () => Stand): void {
  describe('the tutorial', () => {
    const blocks = shellBlocks(readFileSync('docs/tutorial.md', 'utf8'))
    const said = new Map<number, string>()

    const inShell = async (script: string): Promise<string> => {
      const { shell } = stand().cluster
      const env = { ...process.env, ...shell, PATH: `${shell.PATH}:${process.env['PATH'] ?? ''}` }
      return run('bash', ['-euo', 'pipefail', '-c', script], { env, limitMs: 660_000 })
    }

    afterAll(() => dropNamespaces(stand(), NAMESPACE))

    it('has blocks to run', () => expect(blocks.length).toBeGreaterThan(5))

    it.each(blocks.map(({ heading, script }, index) => ({ heading, script, index })))(
      '$heading, block $index',
      async ({ script, index }) => {
        try {
          said.set(index, await inShell(script))
        } catch (error) {
          const state = await read(stand(), NAMESPACE, 'ai-jobs').then(
            ({ status }) => status,
            () => undefined,
          )
          const notes = await events(stand(), NAMESPACE, 'ai-jobs')
          throw new Error(JSON.stringify({ state, notes }, null, 1), { cause: error })
        }
      },
      700_000,
    )

    it('shows what it says: target keys of a canary, and a history from Legacy to BackfillVerify', () => {
      const text = [...said.values()].join('\n')
      expect(text).toMatch(/^ai:job:team-\d:ai-api-\S+$/m)
      expect(text).toMatch(/-> DualWrite/)
      expect(text).toMatch(/-> BackfillVerify/)
    })
  })
}
