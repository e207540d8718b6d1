import { watch, type FSWatcher } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DocumentError, parseDocument, ROUTING_FILE, type RoutingDocument } from '../protocol/document.ts'

export interface RoutingSourceOptions {
  /** The mounted directory. */
  readonly dir: string
  readonly pollMs: number
  /** Why a document that reads well cannot be followed, or undefined. */
  readonly refuse: (doc: RoutingDocument) => string | undefined
  /** Called for each document to follow: the first, then only higher epochs. */
  readonly onDocument: (doc: RoutingDocument) => void
  /** Called when what is wrong with the file changes; undefined: nothing. */
  readonly onProblem: (problem: string | undefined) => void
}

/**
 * Follows the routing document in a mounted directory: kubelet swaps a link in it, so a watch on the file would see the
 * first change only. The watch is for speed, the poll of the content is what counts. A lower epoch is ignored; an equal
 * epoch with another hash, and content that cannot be read, keep the old document and are reported.
 */
export class RoutingSource {
  readonly #options: RoutingSourceOptions
  #current: RoutingDocument | undefined
  #text: string | undefined
  #problem: string | undefined
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  #reading: Promise<void> | undefined
  #again: Promise<void> | undefined
  #closed = false

  constructor(options: RoutingSourceOptions) {
    this.#options = options
  }

  get problem(): string | undefined {
    return this.#problem
  }

  /** Reads once, then follows. Never rejects. */
  async start(): Promise<void> {
    await this.readNow()
    if (this.#closed) return
    this.#timer = setInterval(() => {
      this.#watchAgain()
      void this.readNow()
    }, this.#options.pollMs)
    this.#watchAgain()
  }

  /** Reads the file as it is now; a read that was already under way when this was called does not count. */
  readNow(): Promise<void> {
    if (this.#reading === undefined) {
      this.#reading = this.#read().finally(() => {
        this.#reading = undefined
      })
      return this.#reading
    }
    this.#again ??= this.#reading.then(() => {
      this.#again = undefined
      return this.readNow()
    })
    return this.#again
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.#unwatch()
  }

  #unwatch(): void {
    this.#watcher?.close()
    this.#watcher = undefined
  }

  // Where no watch can be had (inotify limit, directory not there yet) polling alone does.
  #watchAgain(): void {
    if (this.#watcher !== undefined || this.#closed) return
    try {
      const watcher = watch(this.#options.dir, { persistent: false }, () => void this.readNow())
      watcher.on('error', () => {
        watcher.close()
        this.#watcher = undefined
      })
      this.#watcher = watcher
    } catch {
      this.#watcher = undefined
    }
  }

  async #read(): Promise<void> {
    let text: string
    try {
      text = await readFile(join(this.#options.dir, ROUTING_FILE), 'utf8')
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
      // Absent before the first document is the unmanaged start.
      if (!missing || this.#current !== undefined) this.#report(`cannot read the routing file: ${String(error)}`)
      this.#text = undefined
      // A watch on a directory that is gone tells nothing of the one that comes in its place.
      if (missing) this.#unwatch()
      return
    }
    if (this.#closed || text === this.#text) return
    this.#text = text
    try {
      this.#take(parseDocument(text))
    } catch (error) {
      if (!(error instanceof DocumentError)) throw error
      this.#report(error.message)
    }
  }

  #take(doc: RoutingDocument): void {
    const current = this.#current
    if (current !== undefined && doc.epoch === current.epoch && doc.hash !== current.hash) {
      this.#report(`routing file: epoch ${doc.epoch} came twice with different content; the first is kept`)
      return
    }
    if (current !== undefined && doc.epoch < current.epoch) {
      this.#report(`routing file: epoch ${doc.epoch} is lower than ${current.epoch}, which is kept`)
      return
    }
    const refusal = this.#options.refuse(doc)
    if (refusal !== undefined) {
      this.#report(refusal)
      return
    }
    this.#report(undefined)
    if (current !== undefined && doc.epoch === current.epoch) return
    this.#current = doc
    this.#options.onDocument(doc)
  }

  #report(problem: string | undefined): void {
    if (problem === this.#problem) return
    this.#problem = problem
    this.#options.onProblem(problem)
  }
}
