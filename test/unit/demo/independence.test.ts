import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const demo = join(process.cwd(), 'demo')

/** Imports of a file, those behind them too. */
function closure(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const [, path = ''] of readFileSync(file, 'utf8').matchAll(/from '(\.[^']+)'/g))
    closure(join(file, '..', path), seen)
  return seen
}

it('no file of the demo imports code of the product', () => {
  const files = readdirSync(demo, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  expect(files).toContain('faults/plan.ts')
  for (const file of files) expect(readFileSync(join(demo, file), 'utf8')).not.toMatch(/from '[^']*\/src\//)
})

it('the check rests on the demo alone', () => {
  const files = [...closure(join(demo, 'check.ts'))]
  expect(files.length).toBeGreaterThan(5)
  expect(files.filter((file) => !file.startsWith(`${demo}/`))).toEqual([])
})
