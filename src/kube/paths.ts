import type { ObjectRef, ResourceType } from './types.ts'

/** Path of a collection; without a namespace, of all namespaces. */
export function collectionPath(type: ResourceType, namespace?: string): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`
  const scope = type.namespaced && namespace !== undefined ? `/namespaces/${segment(namespace, 'namespace')}` : ''
  return `${root}${scope}/${type.plural}`
}

/** Path of one object or its subresource. Throws TypeError on an empty name, which would address the whole collection. */
export function objectPath(type: ResourceType, ref: ObjectRef, subresource = ''): string {
  if (type.namespaced && ref.namespace === undefined)
    throw new TypeError(`${type.kind} ${ref.name}: no namespace given`)
  const path = `${collectionPath(type, ref.namespace)}/${segment(ref.name, 'name')}`
  return subresource === '' ? path : `${path}/${subresource}`
}

/** Appends the parameters that are set. */
export function withQuery(path: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '') query.set(name, value)
  }
  return query.size === 0 ? path : `${path}?${query.toString()}`
}

function segment(text: string, what: string): string {
  if (text === '') throw new TypeError(`empty ${what}`)
  return encodeURIComponent(text)
}

/** `GET /api/v1/pods`: how errors and logs name a request. The query is left out, it only lengthens them. */
export function describeRequest(verb: string, path: string): string {
  return `${verb} ${path.split('?')[0] ?? ''}`
}
