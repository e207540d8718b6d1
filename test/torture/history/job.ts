/** What one job is to its callers, as a sequence of operations would have it: the contract that histories are held against. */

/** Fields of a hash, or the text of a document. */
export type Value = Readonly<Record<string, string>> | string

export interface Present {
  readonly workspace: string
  readonly value: Value
  /** When it expires, on the clock of the history; null: never. */
  readonly expiresAt: number | null
}
/** undefined: there is no such job. */
export type State = Present | undefined

export type Command =
  readonly ['HSET', string, string] | readonly ['HDEL', string] | readonly ['HINCRBY', string, number]

/** What was asked for; `workspace` is the caller's. */
export type Action =
  /** `enqueue` is a create too: its entry is judged elsewhere. */
  | { readonly kind: 'create'; readonly workspace: string; readonly value: Value; readonly expiresAt: number | null }
  | { readonly kind: 'get'; readonly workspace: string }
  /** With `expect` it is a compare-and-set; null: the field is absent. */
  | {
      readonly kind: 'update'
      readonly workspace: string
      readonly set: Readonly<Record<string, string>>
      readonly expect?: Readonly<Record<string, string | null>>
    }
  | { readonly kind: 'mutate'; readonly workspace: string; readonly commands: readonly Command[] }
  /** `update` of a text: what its last try read and wrote; undefined before the first one. */
  | {
      readonly kind: 'replace'
      readonly workspace: string
      readonly swap?: { readonly old: string; readonly text: string }
    }
  | { readonly kind: 'delete'; readonly workspace: string }
  | { readonly kind: 'expire'; readonly workspace: string; readonly expiresAt: number | null }
  | { readonly kind: 'push'; readonly workspace: string }
  /** The keys themselves, seen while nobody wrote. */
  | { readonly kind: 'look' }

/** `ok`, `absent`, `exists`, `conflict`; a state's text for get and look; JSON of a list for mutate. */
export type Answer = string

export interface Performed {
  readonly answer: Answer
  /** The same object where nothing changed. */
  readonly next: State
}

/** What `action` does to a job in `state`, and what it answers. */
export function perform(state: State, action: Action): Performed {
  const same = (answer: Answer): Performed => ({ answer, next: state })
  if (action.kind === 'look') return same(stateText(state))
  if (action.kind === 'create') {
    // Job ids are unique over all workspaces.
    if (state !== undefined) return same('exists')
    const { workspace, value, expiresAt } = action
    return { answer: 'ok', next: { workspace, value, expiresAt } }
  }
  // A job of another workspace is not there.
  const mine = state !== undefined && state.workspace === action.workspace ? state : undefined
  if (action.kind === 'get') return same(stateText(mine))
  if (mine === undefined) return same('absent')
  switch (action.kind) {
    case 'delete':
      return { answer: 'ok', next: undefined }
    case 'expire':
      return { answer: 'ok', next: { ...mine, expiresAt: action.expiresAt } }
    case 'push':
      return same('ok')
    case 'replace': {
      const { swap } = action
      if (swap === undefined) return same('present')
      return swap.old === mine.value ? { answer: 'ok', next: { ...mine, value: swap.text } } : same('conflict')
    }
    case 'update': {
      const fields = fieldsOf(mine.value)
      const differs = Object.entries(action.expect ?? {}).some(([name, text]) => (fields[name] ?? null) !== text)
      if (differs) return same('conflict')
      return { answer: 'ok', next: { ...mine, value: { ...fields, ...action.set } } }
    }
    case 'mutate': {
      const fields = { ...fieldsOf(mine.value) }
      const results = action.commands.map((command) => run(fields, command))
      return { answer: JSON.stringify(results), next: { ...mine, value: fields } }
    }
  }
}

function run(fields: Record<string, string>, command: Command): string {
  const [name, field] = command
  const before = fields[field]
  if (name === 'HDEL') {
    delete fields[field]
    return before === undefined ? '0' : '1'
  }
  if (name === 'HSET') {
    fields[field] = command[2]
    return before === undefined ? '1' : '0'
  }
  fields[field] = String(Number(before ?? '0') + command[2])
  return fields[field]
}

function fieldsOf(value: Value): Readonly<Record<string, string>> {
  return typeof value === 'string' ? {} : value
}

const texts = new WeakMap<Present, string>()

/** One text for one state. */
export function stateText(state: State): string {
  if (state === undefined) return 'absent'
  let text = texts.get(state)
  if (text === undefined) {
    text = `${state.workspace} ${valueText(state.value)} ${state.expiresAt === null ? 'for ever' : `until ${state.expiresAt}`}`
    texts.set(state, text)
  }
  return text
}

/** The order of a hash's fields means nothing. */
export function valueText(value: Value): string {
  if (typeof value === 'string') return JSON.stringify(value)
  return JSON.stringify(Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))))
}
