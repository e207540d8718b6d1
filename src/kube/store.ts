import type { KubeObject } from './types.ts'
import { objectKey, refOf } from './types.ts'

/** `before` is undefined for a new object, `after` for a deleted one. */
export type ChangeHandler<T extends KubeObject> = (key: string, before: T | undefined, after: T | undefined) => void

/** Objects by `namespace/name`, deeply frozen: readers share them. */
export class Store<T extends KubeObject> {
  readonly #objects = new Map<string, T>()
  readonly #onChange: ChangeHandler<T> | undefined

  constructor(onChange?: ChangeHandler<T>) {
    this.#onChange = onChange
  }

  get size(): number {
    return this.#objects.size
  }

  get(key: string): T | undefined {
    return this.#objects.get(key)
  }

  list(): readonly T[] {
    return [...this.#objects.values()]
  }

  keys(): readonly string[] {
    return [...this.#objects.keys()]
  }

  /** Takes a new state; the same resourceVersion again is no change. */
  put(object: T): void {
    const key = objectKey(refOf(object))
    const before = this.#objects.get(key)
    if (before !== undefined && isSame(before, object)) return
    this.#objects.set(key, deepFreeze(object))
    this.#onChange?.(key, before, object)
  }

  remove(object: T): void {
    const key = objectKey(refOf(object))
    const before = this.#objects.get(key)
    if (before === undefined) return
    this.#objects.delete(key)
    this.#onChange?.(key, before, undefined)
  }

  /** Takes a complete list: what is missing in it was deleted. */
  replace(objects: readonly T[]): void {
    const kept = new Set(objects.map((object) => objectKey(refOf(object))))
    for (const [key, object] of [...this.#objects]) if (!kept.has(key)) this.remove(object)
    for (const object of objects) this.put(object)
  }
}

function isSame(a: KubeObject, b: KubeObject): boolean {
  return a.metadata.uid === b.metadata.uid && a.metadata.resourceVersion === b.metadata.resourceVersion
}

function deepFreeze<V>(value: V): V {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const part of Object.values(value)) deepFreeze(part)
  return value
}
