import type { ElectorOptions } from '../../../src/kube/lease.ts'
import { KubeError } from '../../../src/kube/errors.ts'
import type { Lease } from '../../../src/kube/types.ts'

type LeaseClient = ElectorOptions['client']

/** How one client reaches the server. `lost` and `cut` are done by the server, but the answer never comes, or an error does. */
export type Link = 'up' | 'down' | 'hanging' | 'lost' | 'cut'

/** One Lease with resourceVersions, as an API server keeps it. */
export class FakeLeaseServer {
  lease: Lease | undefined
  readonly requests: string[] = []
  #version = 0

  /** A client whose link can be changed at any time. */
  client(): LeaseClient & { link: Link } {
    const reach = async <R>(self: { link: Link }, verb: string, work: () => Lease): Promise<R> => {
      this.requests.push(verb)
      if (self.link === 'down') throw failure(0, 'ConnectionFailed')
      if (self.link === 'hanging') return new Promise(() => undefined)
      const answer = structuredClone(work())
      if (self.link === 'cut') throw failure(0, 'ConnectionFailed')
      return self.link === 'lost' ? new Promise(() => undefined) : (answer as R)
    }
    const client: LeaseClient & { link: Link } = {
      link: 'up',
      get: (_type, _ref, _options) => reach(client, 'get', () => this.#existing()),
      create: (_type, object) => reach(client, 'create', () => this.#create(object as Lease)),
      mergePatch: (_type, _ref, patch) => reach(client, 'patch', () => this.#patch(patch as Lease)),
    }
    return client
  }

  /** Somebody else's write. */
  edit(spec: NonNullable<Lease['spec']>): void {
    const { metadata } = this.#existing()
    this.#store({ metadata, spec })
  }

  #existing(): Lease {
    if (this.lease === undefined) throw failure(404, 'NotFound')
    return this.lease
  }

  #create(lease: Lease): Lease {
    if (this.lease !== undefined) throw failure(409, 'AlreadyExists')
    return this.#store(lease)
  }

  #patch(patch: Lease): Lease {
    const current = this.#existing()
    if (patch.metadata.resourceVersion !== current.metadata.resourceVersion) throw failure(409, 'Conflict')
    return this.#store({ ...current, spec: { ...current.spec, ...patch.spec } })
  }

  #store(lease: Lease): Lease {
    this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(++this.#version) } }
    return this.lease
  }
}

function failure(status: number, reason: string): KubeError {
  return new KubeError({ status, reason, message: reason })
}
