import { parseArgs } from 'node:util'

export interface Asked {
  readonly words: readonly string[]
  readonly rotate: number | undefined
}

/** @throws Error that says what to give instead */
export function readArguments(args: readonly string[]): Asked {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { rotate: { type: 'string' } },
  })
  const rotate = values.rotate === undefined ? undefined : Number(values.rotate)
  if (rotate !== undefined && !(Number.isInteger(rotate) && rotate > 0))
    throw new Error(`--rotate ${values.rotate ?? ''}: give a whole number above 0`)
  return { words: positionals, rotate }
}

/** `count` of `all`, from another place on each `turn`; after enough turns each had its own. */
export function rotated<T>(all: readonly T[], count: number, turn: number): readonly T[] {
  const first = (turn * count) % all.length
  return [...all.slice(first), ...all.slice(0, first)].slice(0, count)
}
