import { performance } from 'node:perf_hooks'
import { NotReady } from '../redis/errors.ts'
import { spareMs } from '../redis/line.ts'
import { InvalidArgument } from './errors.ts'
import type { OperationOptions } from './types.ts'

const MAX_MS = 2 ** 31 - 1

/** @throws InvalidArgument where no wait can end after `ms` */
export function checkDeadline(ms: number): void {
  if (typeof ms !== 'number' || !(ms > 0 && ms <= MAX_MS))
    throw new InvalidArgument(`deadlineMs must be a positive number of milliseconds, at most ${MAX_MS}`)
}

/** One call that takes several operations, with one deadline for all of them. */
export interface Steps<O> {
  /** No time is left that is worth another step, or another `n`. */
  isOver(n?: number): boolean
  /** The options of the next step. @throws NotReady once it is over */
  next(): O & { readonly deadlineMs: number }
}

/** `deadlineMs`: where the options have none. `moreMs`: what the call may take besides; no step gets more than the deadline. */
export function stepsOf<O extends OperationOptions>(options: O, deadlineMs: number, moreMs = 0): Steps<O> {
  const limit = options.deadlineMs ?? deadlineMs
  const end = performance.now() + limit + moreMs
  const isOver = (n = 1): boolean => limit > 0 && end - performance.now() <= n * spareMs(limit)
  return {
    isOver,
    next: () => {
      if (isOver()) throw new NotReady(`the call was not done within ${limit} ms`)
      return { ...options, deadlineMs: Math.min(limit, end - performance.now()) }
    },
  }
}

/** Waits for `work`, at most `limitMs`. */
export async function within(work: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => (timer = setTimeout(resolve, limitMs)))
  await Promise.race([work, limit]).finally(() => clearTimeout(timer))
}
