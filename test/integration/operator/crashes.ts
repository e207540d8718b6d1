import { UNHANDLED } from '../../../demo/faults/crashes.ts'

/** @throws Error where a process of ours has met an error that nobody waited for: it then ends, and its log says so. */
export function expectNoCrash(output: string): void {
  const line = output.split('\n').find((text) => UNHANDLED.test(text))
  if (line !== undefined) throw new Error(`a worker met an error that nobody waited for: ${line}`)
}
