import { isUtf8 } from 'node:buffer'
import { text } from '../redis/scripts.ts'
import { Occupied } from './errors.ts'
import type { Codec, Encoding, Job, Stored } from './types.ts'

/** A job from the expiry and value of a script's reply. @throws Occupied where a text is no UTF-8 */
export function readJob<E extends Encoding>(encoding: E, jobId: string, expiry: unknown, value: unknown): Job<E> {
  const at = Number(text(expiry))
  const decoded = encoding === 'hash' ? readFields(jobId, value as Buffer[]) : readText(jobId, value as Buffer)
  return { jobId, value: decoded as Stored<E>, ...(at >= 0 ? { expiresAt: at } : {}) }
}

/** The job as the app's codec reads its text, or as it is. @throws Occupied */
export function decode(codec: Codec<unknown> | undefined, job: Job<Encoding>): Job<Encoding, unknown> {
  if (codec === undefined) return job
  try {
    return { ...job, value: codec.parse(job.value as string) }
  } catch (cause) {
    const name = JSON.stringify(job.jobId)
    throw new Occupied(`the codec cannot read the text of job ${name}: it is left as it is`, { cause })
  }
}

function readFields(jobId: string, list: readonly Buffer[]): Record<string, string> {
  const entries: [string, string][] = []
  for (let i = 1; i < list.length; i += 2)
    entries.push([readText(jobId, list[i - 1] as Buffer), readText(jobId, list[i] as Buffer)])
  // fromEntries defines: a field named __proto__ is a field.
  return Object.fromEntries(entries)
}

function readText(jobId: string, bytes: Buffer): string {
  const read = bytes.toString('utf8')
  // What is no UTF-8 reads as this character, which a text may also hold.
  if (!read.includes('\ufffd') || isUtf8(bytes)) return read
  throw new Occupied(`the value of job ${JSON.stringify(jobId)} is no UTF-8 text: it is left as it is`)
}
