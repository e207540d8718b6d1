import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Mutant } from './list.ts'

const ROOT = join(import.meta.dirname, '..', '..')

/** What `mutant` makes of the text of its file. @throws Error where `find` is not there exactly once. */
export function mutate(text: string, { name, file, find, replace }: Mutant): string {
  const parts = text.split(find)
  if (parts.length !== 2)
    throw new Error(
      `mutant "${name}": ${file} has its text ${parts.length - 1} times, not once; bring the list up to date`,
    )
  return parts.join(replace)
}

export function readSource(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}

/** A copy of the work tree that one mutant after another is put into. */
export class Copy {
  readonly dir = mkdtempSync(join(tmpdir(), 'keyshift-mutants-'))

  constructor() {
    const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: ROOT })
    for (const file of files.toString().split('\0')) {
      if (file === '' || !existsSync(join(ROOT, file))) continue
      mkdirSync(dirname(join(this.dir, file)), { recursive: true })
      cpSync(join(ROOT, file), join(this.dir, file))
    }
    symlinkSync(join(ROOT, 'node_modules'), join(this.dir, 'node_modules'))
    if (existsSync(join(ROOT, 'dist'))) cpSync(join(ROOT, 'dist'), join(this.dir, 'dist'), { recursive: true })
  }

  /** Breaks the copy while `look` runs. */
  async with<T>(mutant: Mutant, look: () => Promise<T>): Promise<T> {
    this.#write(mutant, mutate(readSource(mutant.file), mutant))
    try {
      return await look()
    } finally {
      this.#write(mutant, readSource(mutant.file))
    }
  }

  #write({ file }: Mutant, text: string): void {
    writeFileSync(join(this.dir, file), text)
    // The product runs the scripts as they are in the generated module.
    if (file.endsWith('.lua'))
      execFileSync(process.execPath, ['hack/generate/main.ts'], { cwd: this.dir, stdio: 'pipe' })
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true })
  }
}
