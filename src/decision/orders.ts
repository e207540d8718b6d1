import { ANNOTATIONS } from '../api/resource.ts'
import type { Status } from '../api/status.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import { note, type Draft } from './draft.ts'
import { stateText } from './ladder.ts'
import { stateOf, type Scene } from './scene.ts'

/** Annotations whose value is an order, given once. */
const ORDERS = ['repair', 'purge', 'retry', 'adopt'] as const
type Order = (typeof ORDERS)[number]

/** Value of the annotation, undefined where there is none. */
export function orderOf({ resource }: Scene, name: Order): string | undefined {
  const value = resource.metadata.annotations?.[ANNOTATIONS[name]]?.slice(0, 253)
  return value === '' ? undefined : value
}

/**
 * Answers at once, by an Event, each order that cannot be obeyed as things stand, and notes its value: it is not carried out
 * later, when nobody expects it any more. `heading` is negative where the walk goes back.
 */
export function answerOrders(scene: Scene, status: Status, doc: RoutingDocument, heading: number): Draft {
  const events: Draft['events'][number][] = []
  const orders: Partial<Record<Order, string>> = {}
  for (const name of ORDERS) {
    const value = orderOf(scene, name)
    if (value === undefined) continue
    const known = status.orders?.[name] === value
    const why = known ? undefined : OBJECTIONS[name]({ scene, status, doc, heading, value })
    if (known || why !== undefined || SEEN.has(name)) orders[name] = value
    if (why === undefined) continue
    const text = `${ANNOTATIONS[name]}: "${value}" is not carried out, now or later: ${why}`
    events.push(note('AnnotationRefused', text, 'Warning'))
  }
  return { status: { ...status, orders: Object.keys(orders).length === 0 ? undefined : orders }, events }
}

/** The status without what it says of annotations that are gone: given again, they order again. */
export function forgetWithdrawn(scene: Scene, status: Status): Status {
  if (status.orders === undefined) return status
  const kept = Object.entries(status.orders).filter(([name, value]) => orderOf(scene, name as Order) === value)
  return { ...status, orders: kept.length === 0 ? undefined : Object.fromEntries(kept) }
}

/** They act in the pass that first sees them, or never. */
const SEEN: ReadonlySet<Order> = new Set(['retry', 'adopt'])

interface Given {
  readonly scene: Scene
  readonly status: Status
  readonly doc: RoutingDocument
  readonly heading: number
  readonly value: string
}

/** Why an order cannot be obeyed; undefined where it can, or has been. */
const OBJECTIONS: Readonly<Record<Order, (given: Given) => string | undefined>> = {
  repair: ({ status, doc, heading, value }) => {
    if (status.repaired?.value === value) return undefined
    if (heading < 0) return 'the walk goes back'
    const at = stateText(stateOf(doc))
    return status.evidence === undefined
      ? `verify compares keys from DualWrite 100 % on, and this is ${at}; give it a new value when verify has found differences`
      : undefined
  },
  purge: ({ status, doc, value }) =>
    status.purged === value || doc.phase === 'Legacy'
      ? undefined
      : `target keys are deleted in Legacy alone, and this is ${stateText(stateOf(doc))}; give it a new value there`,
  retry: ({ scene }) => {
    const { failed, work } = scene.resource.status ?? {}
    const held = Object.values(work ?? {}).filter(({ state }) => state === 'Held')
    return failed !== undefined || held.length > 0 ? undefined : 'nothing has failed that could be tried again'
  },
  adopt: ({ doc, value }) =>
    value === String(doc.epoch - 1)
      ? undefined
      : `status, record and ConfigMap do not contradict each other at epoch ${doc.epoch}`,
}
