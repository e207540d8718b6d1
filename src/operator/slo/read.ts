import type { PrometheusClient } from '../../prometheus/client.ts'
import type { CheckState } from './check-state.ts'
import { readingOf, readingsOf, type Reading } from './reading.ts'

/** Readings by the moment that they speak of, ms. */
type ByTime = ReadonlyMap<number, Reading>

/** What Prometheus said for some moments. */
export interface Readings {
  /** A check that was not due has none. */
  readonly checks: ReadonlyMap<CheckState, ByTime>
  /** Of `clientsQuery`; asked only where a check has no data. */
  readonly clients: ByTime | undefined
}

export interface Question {
  readonly client: PrometheusClient
  readonly states: readonly CheckState[]
  /** Evenly spaced moments, ms, the oldest first. One is asked by an instant query, more by a range query. */
  readonly times: readonly number[]
  readonly stepMs: number
  /** Whether the check is asked for one moment alone. */
  readonly isDue: (state: CheckState) => boolean
  readonly clientsQuery: string | undefined
}

const PARALLEL = 4

export async function readChecks(question: Question, signal: AbortSignal): Promise<Readings> {
  const { states, times, isDue, clientsQuery } = question
  const [first = 0] = times
  const checks = new Map<CheckState, ByTime>()
  const readOne = async (state: CheckState): Promise<void> => {
    if (times.length === 1 && !isDue(state)) return
    const readings = await ask(question, state.check.query, signal)
    checks.set(state, readings)
    if (readings.get(first)?.kind === 'elements') await state.seed(question.client, first, signal)
  }
  for (let i = 0; i < states.length; i += PARALLEL) await Promise.all(states.slice(i, i + PARALLEL).map(readOne))
  const isEmpty = (reading: Reading): boolean => reading.kind === 'elements' && reading.elements.length === 0
  const doubtful = [...checks.values()].some((byTime) => [...byTime.values()].some(isEmpty))
  const clients = doubtful && clientsQuery !== undefined ? await ask(question, clientsQuery, signal) : undefined
  return { checks, clients }
}

async function ask({ client, times, stepMs }: Question, query: string, signal: AbortSignal): Promise<ByTime> {
  const [first = 0, last = first] = [times[0], times.at(-1)]
  if (times.length === 1) return new Map([[first, readingOf(await client.query(query, first, signal), first)]])
  return readingsOf(await client.range({ query, start: first, end: last, stepMs }, signal), times)
}
