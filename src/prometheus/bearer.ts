import { failed, type Failed } from './answer.ts'
import { describe } from './describe.ts'

export interface BearerToken {
  /** Where it comes from, as a message names it, for example `Secret prom, key token`. */
  readonly source: string
  /** Asked for each request; `fresh: true` when the one read last was refused. Rejects where it cannot be read. */
  read(fresh: boolean): Promise<string>
}

export type Credential = { readonly kind: 'token'; readonly value: string } | Failed

/** A token that stays refused is asked for anew this often and no more, ms. */
const AGAIN_MS = 5000

/** The token of one client. It is read for each request, and past every cache once it was refused. */
export class Bearer {
  readonly #token: BearerToken
  readonly #monotonic: () => number
  #refused: string | undefined
  /** The last read past the caches; queries that are refused together share it. */
  #fresh: { readonly at: number; readonly read: Promise<Credential> } | undefined

  constructor(token: BearerToken, monotonic: () => number) {
    this.#token = token
    this.#monotonic = monotonic
  }

  async get(): Promise<Credential> {
    const known = await this.#read(false)
    return known.kind === 'token' && known.value === this.#refused ? this.#readFresh() : known
  }

  /** What to try after a refusal of `value`: another token, or the same where there is none yet. */
  getAfterRefusal(value: string): Promise<Credential> {
    this.#refused = value
    return this.#readFresh()
  }

  #readFresh(): Promise<Credential> {
    const now = this.#monotonic()
    if (this.#fresh === undefined || now - this.#fresh.at >= AGAIN_MS) this.#fresh = { at: now, read: this.#read(true) }
    return this.#fresh.read
  }

  async #read(fresh: boolean): Promise<Credential> {
    const { source } = this.#token
    try {
      const value = (await this.#token.read(fresh)).trim()
      if (value === '') return failed('Refused', `the bearer token of ${source} is empty: put one there`)
      // Said here: what fetch says of such a header repeats it.
      if (!/^[\x21-\x7e]+$/.test(value))
        return failed('Refused', `the bearer token of ${source} holds spaces or characters that no header can carry`)
      return { kind: 'token', value }
    } catch (error) {
      return failed('Refused', `the bearer token of ${source} cannot be read: ${describe(error)}`)
    }
  }
}
