import type { Failed, InstantAnswer, Labels, RangeAnswer } from '../../prometheus/client.ts'

export interface Element {
  readonly labels: Labels
  readonly value: number
}

/** What one check read at one moment, whether by an instant or by a range query. */
export type Reading =
  | {
      readonly kind: 'elements'
      readonly elements: readonly Element[]
      readonly warnings: readonly string[]
      /** Age of the oldest element against the moment asked for, ms. */
      readonly ageMs: number
    }
  | Failed

/** `time`: the moment asked for, ms. */
export function readingOf(answer: InstantAnswer, time: number): Reading {
  if (answer.kind === 'failed') return answer
  const samples = answer.kind === 'scalar' ? [answer.sample] : answer.samples
  return {
    kind: 'elements',
    elements: samples.map(({ labels, value }) => ({ labels, value })),
    warnings: answer.warnings,
    ageMs: samples.reduce((oldest, sample) => Math.max(oldest, time - sample.time), 0),
  }
}

/** Cuts the answer of a range query into one reading for each of `times` (ms). */
export function readingsOf(answer: RangeAnswer, times: readonly number[]): ReadonlyMap<number, Reading> {
  if (answer.kind === 'failed') return new Map(times.map((time) => [time, answer]))
  const elements = new Map<number, Element[]>(times.map((time) => [time, []]))
  for (const { labels, points } of answer.series) {
    for (const { time, value } of points) elements.get(time)?.push({ labels, value })
  }
  return new Map(
    [...elements].map(([time, at]) => [
      time,
      { kind: 'elements', elements: at, warnings: answer.warnings, ageMs: 0 } as const,
    ]),
  )
}
