import type { LogLine } from './client/wire.ts'
import type { Deliveries } from './deliveries.ts'
import type { Histories } from './histories.ts'

export interface Heard {
  readonly histories: Histories
  readonly deliveries: Deliveries
  /** What a client must never see. */
  readonly wrong: string[]
}

/** Takes down what a client says. */
export function hear({ histories, deliveries, wrong }: Heard, caller: string, line: LogLine): void {
  switch (line[0]) {
    case 'call':
      return histories.call(caller, line[1], line[2], line[3], line[4])
    case 'swap':
      return histories.swap(caller, line[1], line[2], line[3])
    case 'done': {
      const jobId = histories.done(caller, line[1], line[2], line[3])
      if (jobId !== undefined && line[3] === 'ok') deliveries.made(jobId)
      return
    }
    case 'unknown':
      return histories.lost(caller, line[1])
    case 'refused':
      return histories.refused(caller, line[1])
    case 'enqueue': {
      const jobId = histories.jobOf(caller, line[1])
      if (jobId !== undefined) deliveries.enqueued(jobId)
      return
    }
    case 'delivered':
      return deliveries.deliver(line[1], line[2])
    case 'ack':
      return deliveries.ack(line[1], false)
    case 'acked':
      return deliveries.ack(line[1], true)
    case 'wrong':
      wrong.push(`${caller}: ${line[1]}`)
      return
    case 'ready':
    case 'resting':
      return
  }
}
