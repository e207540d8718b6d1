import type { ExpiryArg } from '../redis/scripts.ts'
import type { Context } from './context.ts'
import { InvalidArgument, WorkspaceMismatch } from './errors.ts'
import type { CreateOptions, Expiry, MutateCommand } from './types.ts'

/** What a parser of `options` refuses is a mistake of the caller. @throws InvalidArgument */
export function asArgument<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw error instanceof InvalidArgument ? error : new InvalidArgument((error as Error).message)
  }
}

/** An option in ms, or its default. The upper bound is that of a Node timer. @throws InvalidArgument */
export function millis(name: string, given: number | undefined, fallback: number, max = 2 ** 31 - 1): number {
  const ms = given ?? fallback
  if (!Number.isSafeInteger(ms) || ms < 1 || ms > max)
    throw new InvalidArgument(`${name} must be a whole number of milliseconds from 1 to ${max}`)
  return ms
}

/** Turns what a caller gives into script arguments. Each throws InvalidArgument before anything is sent. */
export function creationExpiry(options: CreateOptions): ExpiryArg {
  const { ttlMs, expiresAt } = options
  if (ttlMs !== undefined && expiresAt !== undefined) throw new InvalidArgument('give ttlMs or expiresAt, not both')
  if (ttlMs !== undefined) return expiryArg({ ttlMs })
  if (expiresAt !== undefined) return expiryArg({ expiresAt })
  return { mode: 'none', ms: 0 }
}

export function expiryArg(expiry: Expiry): ExpiryArg {
  if ('persist' in expiry) return { mode: 'none', ms: 0 }
  const [mode, ms] = 'ttlMs' in expiry ? (['ttl', expiry.ttlMs] as const) : (['at', expiry.expiresAt] as const)
  // The upper bound keeps now + ttl within what Redis takes.
  if (!Number.isSafeInteger(ms) || ms < 1 || ms > 2 ** 52)
    throw new InvalidArgument(
      `${mode === 'ttl' ? 'ttlMs' : 'expiresAt'} must be a positive whole number of milliseconds`,
    )
  return { mode, ms }
}

/** Field, value, ... */
export function fieldArgs(fields: Readonly<Record<string, string>>): string[] {
  const args: string[] = []
  for (const [field, value] of Object.entries(fields)) {
    if (typeof value !== 'string') throw new InvalidArgument(`field ${field} must be a text`)
    args.push(field, value)
  }
  return args
}

/** The text of a job of the app's. @throws InvalidArgument with `message`, and what the codec throws */
export function textOf({ codec }: Context, value: unknown, message: string): string {
  const text = codec === undefined ? value : codec.stringify(value)
  if (typeof text !== 'string' || !text.isWellFormed()) throw new InvalidArgument(message)
  return text
}

const isFields = (value: unknown): value is Readonly<Record<string, string>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The value of a new job: its fields with the workspace among them, or its text. */
export function valueArgs(context: Context, workspaceId: string, jobId: string, value: unknown): readonly string[] {
  if (context.encoding === 'json')
    return [textOf(context, value, 'the value of a json job is its text, well-formed; for anything else give a codec')]
  if (!isFields(value)) throw new InvalidArgument('the value of a hash job is its fields')
  const given = Object.hasOwn(value, context.workspaceField) ? value[context.workspaceField] : undefined
  if (given !== undefined && given !== workspaceId) throw new WorkspaceMismatch(jobId, context.workspaceField)
  const args = fieldArgs(value)
  return given === undefined ? [context.workspaceField, workspaceId, ...args] : args
}

export function mutateArgs(commands: readonly MutateCommand[]): readonly (readonly string[])[] {
  if (commands.length === 0) throw new InvalidArgument('mutate needs at least one command')
  return commands.map((command) => {
    const arity = { HSET: 3, HDEL: 2, HINCRBY: 3, HINCRBYFLOAT: 3 }[command[0]]
    if (command.length !== arity)
      throw new InvalidArgument('mutate takes HSET field value, HDEL field, HINCRBY field n, HINCRBYFLOAT field n')
    return command.map(String)
  })
}
