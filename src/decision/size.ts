import type { Status } from '../api/status.ts'

/** The API server and etcd have their limits; a status stays well below them. Bytes. */
export const MAX_STATUS_BYTES = 60 * 1024

/** What a status can do without, in the order in which it is given up. */
const CUTS: readonly ((status: Status) => Status)[] = [
  (status) => ({ ...status, checks: status.checks?.map(({ query: _query, ...check }) => check) }),
  (status) => ({ ...status, checks: status.checks?.map(({ worst: _worst, ...check }) => check) }),
  (status) => ({ ...status, checks: status.checks?.map(({ message: _message, ...check }) => check) }),
  (status) => ({ ...status, malformed: status.malformed && { ...status.malformed, keys: [] } }),
  (status) => ({ ...status, repaired: status.repaired && { ...status.repaired, keys: [] } }),
  (status) => ({ ...status, jobs: status.jobs?.map(({ message: _message, ...job }) => job) }),
  (status) => ({ ...status, observers: undefined }),
  (status) => ({ ...status, writers: undefined }),
  (status) => ({ ...status, history: status.history?.slice(-5) }),
]

/** The status, without fields that are undefined, and cut where it is too big. */
export function fitStatus(status: Status): Status {
  const fitting = CUTS.reduce((fit, cut) => (bytes(fit) <= MAX_STATUS_BYTES ? fit : cut(fit)), status)
  return Object.fromEntries(Object.entries(fitting).filter(([, value]) => value !== undefined))
}

function bytes(status: Status): number {
  return Buffer.byteLength(JSON.stringify(status), 'utf8')
}
