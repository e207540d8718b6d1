// Globals are slow to look up inside jest.
const { imul, max } = Math

/** A transition system over states that are written as a fixed number of bytes, one canonical text for equal states. */
export interface System<State> {
  readonly width: number
  readonly initial: readonly State[]
  /** Writes the canonical form of `state` into `bytes` at `at`. */
  encode(state: State, bytes: Uint8Array, at: number): void
  decode(bytes: Uint8Array, at: number): State
  /** Calls `emit` for each step out of `state`; `broken` names what the step itself violates. */
  next(state: State, emit: (label: string, state: State, broken?: string) => void): void
  /** What a state violates, or undefined. */
  check(state: State): string | undefined
}

export interface TraceStep<State> {
  readonly label: string
  readonly state: State
}

export interface Exploration<State> {
  readonly states: number
  readonly steps: number
  /** Longest of the shortest ways to a state. */
  readonly depth: number
  readonly violation?: { readonly message: string; readonly trace: readonly TraceStep<State>[] }
  /** Whether a state that satisfies `goal` was reached. */
  reached(goal: (state: State) => boolean): boolean
  /** A shortest way to a state, of those that `among` takes, from which no state that satisfies `goal` can be reached. */
  trapFor(goal: (state: State) => boolean, among?: (state: State) => boolean): readonly TraceStep<State>[] | undefined
}

/** Every state that can be reached, breadth first; ends at the first violation, by a shortest way. */
export function explore<State>(system: System<State>, limit = 4_000_000, keepEdges = false): Exploration<State> {
  const seen = new Seen(system.width)
  const parents: number[] = []
  const from: number[] = []
  const to: number[] = []
  let steps = 0
  let at = -1
  let broken:
    { readonly message: string; readonly label: string; readonly parent: number; readonly state: State } | undefined

  const reach = (label: string, state: State, violated?: string): void => {
    steps += 1
    if (broken !== undefined) return
    const message = violated ?? system.check(state)
    if (message !== undefined) {
      broken = { message, label, parent: at, state }
      return
    }
    system.encode(state, seen.candidate(), seen.candidateAt())
    const index = seen.add()
    if (index === parents.length) {
      if (index >= limit) throw new Error(`more than ${limit} states: narrow the scope`)
      parents.push(at)
    }
    if (keepEdges && at >= 0 && index !== at) {
      from.push(at)
      to.push(index)
    }
  }
  for (const state of system.initial) reach('', state)
  for (let i = 0; i < parents.length && broken === undefined; i += 1) {
    at = i
    system.next(seen.read(system, i), reach)
  }

  const traceTo = (index: number): TraceStep<State>[] => {
    const way: number[] = []
    for (let i = index; i >= 0; i = parents[i] ?? -1) way.unshift(i)
    return way.map((i, n) => ({
      label: n === 0 ? '' : labelOf(way[n - 1] ?? 0, i),
      state: seen.read(system, i),
    }))
  }
  const labelOf = (parent: number, child: number): string => {
    let found = ''
    system.next(seen.read(system, parent), (label, state) => {
      system.encode(state, seen.candidate(), seen.candidateAt())
      if (found === '' && seen.find() === child) found = label
    })
    return found
  }

  const canonical = (state: State): State => {
    const [bytes, offset] = [seen.candidate(), seen.candidateAt()]
    system.encode(state, bytes, offset)
    return system.decode(bytes, offset)
  }

  return {
    states: parents.length,
    steps,
    depth: parents.length === 0 ? 0 : depthOf(parents),
    ...(broken === undefined
      ? {}
      : {
          violation: {
            message: broken.message,
            trace: [...traceTo(broken.parent), { label: broken.label, state: canonical(broken.state) }],
          },
        }),
    reached(goal) {
      for (let i = 0; i < parents.length; i += 1) if (goal(seen.read(system, i))) return true
      return false
    },
    trapFor(goal, among = () => true) {
      if (!keepEdges) throw new Error('explore with keepEdges to ask what stays reachable')
      const good = reaches(parents.length, from, to, (i) => goal(seen.read(system, i)))
      const trap = good.findIndex((is, i) => is === 0 && among(seen.read(system, i)))
      return trap < 0 ? undefined : traceTo(trap)
    },
  }
}

/** 1 for each state from which a goal can be reached. */
function reaches(
  count: number,
  from: readonly number[],
  to: readonly number[],
  isGoal: (i: number) => boolean,
): Uint8Array {
  const start = new Int32Array(count + 1)
  for (const target of to) start[target + 1] = (start[target + 1] ?? 0) + 1
  for (let i = 0; i < count; i += 1) start[i + 1] = (start[i + 1] ?? 0) + (start[i] ?? 0)
  const fill = start.slice()
  const back = new Int32Array(to.length)
  to.forEach((target, edge) => {
    const slot = fill[target] ?? 0
    fill[target] = slot + 1
    back[slot] = from[edge] ?? 0
  })
  const good = new Uint8Array(count)
  const queue: number[] = []
  for (let i = 0; i < count; i += 1)
    if (isGoal(i)) {
      good[i] = 1
      queue.push(i)
    }
  for (let i = queue.pop(); i !== undefined; i = queue.pop())
    for (let slot = start[i] ?? 0; slot < (start[i + 1] ?? 0); slot += 1) {
      const source = back[slot] ?? 0
      if (good[source] === 1) continue
      good[source] = 1
      queue.push(source)
    }
  return good
}

function depthOf(parents: readonly number[]): number {
  const depths = new Int32Array(parents.length)
  let deepest = 0
  parents.forEach((parent, i) => {
    depths[i] = parent < 0 ? 0 : (depths[parent] ?? 0) + 1
    deepest = max(deepest, depths[i] ?? 0)
  })
  return deepest
}

/** A set of byte strings of one width: all in one buffer, found through open addressing. */
class Seen {
  readonly #width: number
  #bytes: Uint8Array
  #slots = new Int32Array(1 << 16).fill(-1)
  #size = 0

  constructor(width: number) {
    this.#width = width
    this.#bytes = new Uint8Array(width * (1 << 14))
  }

  /** Where the next string to look for is written. */
  candidate(): Uint8Array {
    if ((this.#size + 1) * this.#width > this.#bytes.length) {
      const bytes = new Uint8Array(this.#bytes.length * 2)
      bytes.set(this.#bytes)
      this.#bytes = bytes
    }
    return this.#bytes
  }

  candidateAt(): number {
    return this.#size * this.#width
  }

  /** Index of the candidate, -1 where it is not in the set. */
  find(): number {
    return this.#slots[this.#slotOf(this.#size)] ?? -1
  }

  /** Index of the candidate, which is put into the set. */
  add(): number {
    const slot = this.#slotOf(this.#size)
    const known = this.#slots[slot] ?? -1
    if (known >= 0) return known
    this.#slots[slot] = this.#size
    this.#size += 1
    if (this.#size * 2 > this.#slots.length) this.#grow()
    return this.#size - 1
  }

  read<State>(system: System<State>, index: number): State {
    return system.decode(this.#bytes, index * this.#width)
  }

  #slotOf(index: number): number {
    const [bytes, width, slots] = [this.#bytes, this.#width, this.#slots]
    const mask = slots.length - 1
    const at = index * width
    let hash = 0x811c9dc5
    for (let i = at; i < at + width; i += 1) hash = imul(hash ^ (bytes[i] ?? 0), 0x01000193)
    hash ^= hash >>> 15
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const other = slots[slot] ?? -1
      if (other < 0) return slot
      let i = 0
      while (i < width && bytes[other * width + i] === bytes[at + i]) i += 1
      if (i === width) return slot
    }
  }

  #grow(): void {
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1)
    for (let i = 0; i < this.#size; i += 1) this.#slots[this.#slotOf(i)] = i
  }
}
