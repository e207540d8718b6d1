import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import ts from 'typescript'

/** A fenced block of a page. */
export interface Block {
  readonly page: string
  readonly language: string
  /** Title of the section that it stands in. */
  readonly section: string
  /** Of its first line. */
  readonly line: number
  readonly text: string
}

export function blocksOf(page: string): Block[] {
  const found: Block[] = []
  let section = ''
  let open: { language: string; line: number; lines: string[] } | undefined
  for (const [i, line] of readFileSync(page, 'utf8').split('\n').entries()) {
    const fence = /^```(\w*)$/.exec(line)
    if (open === undefined) {
      if (fence !== null) open = { language: fence[1] ?? '', line: i + 2, lines: [] }
      else section = /^#+ (.*)$/.exec(line)?.[1] ?? section
    } else if (fence === null) open.lines.push(line)
    else {
      found.push({ page, section, language: open.language, line: open.line, text: open.lines.join('\n') })
      open = undefined
    }
  }
  return found
}

/** What stands around a block where it is compiled: a line before it, and a line after it. */
export interface Around {
  readonly before?: string
  readonly after?: string
}

/**
 * Compiles blocks as strict modules beside their pages, with `@keyshift/client` as an application has it.
 * @returns complaints, with the line of the page
 */
export function compile(root: string, blocks: readonly Block[], around: (block: Block) => Around): string[] {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile) as { config: object }
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, root)
  const files = new Map(
    blocks.map((block) => {
      const { before = '', after = '' } = around(block)
      const name = join(dirname(block.page), `${basename(block.page)}.${block.line}.ts`)
      return [name, { block, text: `${before}\n${block.text}\n${after}\nexport {}\n` }]
    }),
  )
  const host = ts.createCompilerHost({ ...options, types: ['node'] })
  const { readFile, fileExists } = host
  host.fileExists = (name) => files.has(name) || fileExists(name)
  host.readFile = (name) => files.get(name)?.text ?? readFile(name)
  const program = ts.createProgram([...files.keys()], { ...options, types: ['node'] }, host)
  return ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
    const block = files.get(file?.fileName ?? '')?.block
    // Line 0 is the one before the block.
    const line = block && file ? block.line - 1 + file.getLineAndCharacterOfPosition(start).line : 0
    return `${basename(block?.page ?? file?.fileName ?? '')}:${line} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`
  })
}
