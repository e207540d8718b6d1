import type { ClientOptions, Encoding, KeyshiftClient } from './types.ts'

export function createKeyshiftClient<E extends Encoding>(_options: ClientOptions<E>): KeyshiftClient<E> {
  throw new Error('not written yet')
}
