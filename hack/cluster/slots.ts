import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { silent } from '../system/log.ts'
import { withLock } from '../system/lock.ts'
import { dataRoot, slotCount } from './layout.ts'

type Table = Record<string, number>

const fixed: Table = { demo: 0, test: 1 }
const file = join(dataRoot, 'slots.json')

/** The number a name always has on this machine, so that its addresses are the same in every run. */
export async function slotOf(name: string): Promise<number> {
  const known = fixed[name] ?? read()[name]
  if (known !== undefined) return known
  mkdirSync(dataRoot, { recursive: true })
  return withLock(join(dataRoot, 'slots.lock'), silent, 30_000, async () => {
    const table = read()
    const slot = table[name] ?? chooseSlot(name, { ...fixed, ...table })
    writeFileSync(`${file}.draft`, JSON.stringify({ ...table, [name]: slot }))
    renameSync(`${file}.draft`, file)
    return slot
  })
}

/** The first free slot from the name's hash on. */
export function chooseSlot(name: string, taken: Table): number {
  const used = new Set(Object.values(taken))
  const start = createHash('sha256').update(name).digest().readUInt32BE(0)
  for (let i = 0; i < slotCount; i++) {
    const slot = (start + i) % slotCount
    if (!used.has(slot)) return slot
  }
  throw new Error(`all ${slotCount} cluster slots are taken: remove names from ${file}`)
}

function read(): Table {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Table) : {}
}
