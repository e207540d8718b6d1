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
  if (typeof expiry !== 'object' || expiry === null || ('ttlMs' in expiry && 'expiresAt' in expiry))
    throw new InvalidArgument('give one of { ttlMs }, { expiresAt } and { persist: true }')
  if (!('ttlMs' in expiry || 'expiresAt' in expiry)) {
    if ((expiry as { persist?: unknown }).persist !== true)
      throw new InvalidArgument('to persist is to give { persist: true }')
    return { mode: 'none', ms: 0 }
  }
  const [mode, ms] = 'ttlMs' in expiry ? (['ttl', expiry.ttlMs] as const) : (['at', expiry.expiresAt] as const)
  // The upper bound keeps now + ttl within what Redis takes.
  if (!Number.isSafeInteger(ms) || ms < 1 || ms > 2 ** 52)
    throw new InvalidArgument(
      `${mode === 'ttl' ? 'ttlMs' : 'expiresAt'} must be a positive whole number of milliseconds`,
    )
  return { mode, ms }
}

/** Field, value, ... */
export function fieldArgs(fields: unknown, what = 'the value of a hash job is its fields'): string[] {
  if (!isFields(fields)) throw new InvalidArgument(what)
  return Object.entries(fields).flatMap(([field, value]) => [checkText(field, field), checkText(field, value)])
}

/** What an expected field must hold: field, and its value or null where it must be absent. */
export function expectArgs(expect: unknown): [string, string | null][] {
  if (!isFields(expect)) throw new InvalidArgument('expect takes fields and their values')
  return Object.entries(expect).map(([field, value]) => [
    checkText(field, field),
    value === null ? null : checkText(field, value),
  ])
}

// Half of a surrogate pair has no bytes: another text would be stored.
function checkText(field: string, text: unknown): string {
  if (typeof text === 'string' && text.isWellFormed()) return text
  throw new InvalidArgument(`field ${JSON.stringify(field)} must be a text of well-formed UTF-16, under such a name`)
}

/** @throws InvalidArgument */
export function checkQueue(key: unknown): string {
  if (typeof key === 'string' && key !== '' && key.isWellFormed()) return key
  throw new InvalidArgument('a queue is named by the key of a list: a text of well-formed UTF-16 that is not empty')
}

/** The text of a job of the app's. @throws InvalidArgument with `message`, and what the codec throws */
export function textOf({ codec }: Context, value: unknown, message: string): string {
  const text = codec === undefined ? value : codec.stringify(value)
  if (typeof text !== 'string' || !text.isWellFormed()) throw new InvalidArgument(message)
  return text
}

// What can be iterated (a list, a Map, bytes) keeps what it holds elsewhere than in fields.
const isFields = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !(Symbol.iterator in value)

/** The value of a new job: its fields with the workspace among them, or its text. */
export function valueArgs(context: Context, workspaceId: string, jobId: string, value: unknown): readonly string[] {
  if (context.encoding === 'json')
    return [textOf(context, value, 'the value of a json job is its text, well-formed; for anything else give a codec')]
  const args = fieldArgs(value)
  const given = Object.getOwnPropertyDescriptor(value, context.workspaceField)?.value as unknown
  if (given !== undefined && given !== workspaceId) throw new WorkspaceMismatch(jobId, context.workspaceField)
  return given === undefined ? [context.workspaceField, workspaceId, ...args] : args
}

export function mutateArgs(commands: readonly MutateCommand[]): readonly (readonly string[])[] {
  if (!Array.isArray(commands) || commands.length === 0)
    throw new InvalidArgument('mutate needs a list of at least one command')
  return commands.map((command: unknown) => {
    const [name, field, value, ...more] = Array.isArray(command) ? (command as unknown[]) : []
    const takes = TAKES.get(name)
    if (takes === undefined || more.length > 0 || !takes(value))
      throw new InvalidArgument(
        'mutate takes HSET field value, HDEL field, HINCRBY field n, HINCRBYFLOAT field n; a whole number past 2^53 as a bigint',
      )
    const args = [name as string, checkText(String(field), field)]
    return value === undefined ? args : [...args, checkText(String(field), `${value as string | number | bigint}`)]
  })
}

const TAKES = new Map<unknown, (value: unknown) => boolean>([
  ['HSET', (value) => typeof value === 'string'],
  ['HDEL', (value) => value === undefined],
  ['HINCRBY', (value) => typeof value === 'string' || typeof value === 'bigint' || Number.isSafeInteger(value)],
  ['HINCRBYFLOAT', (value) => typeof value === 'string' || Number.isFinite(value)],
])
