import type { KubeClient } from '../../../src/kube/client.ts'
import type { ResourceType } from '../../../src/kube/types.ts'

const VERBS: Readonly<Record<keyof KubeClient, string>> = {
  get: 'get',
  list: 'list',
  create: 'create',
  delete: 'delete',
  apply: 'patch',
  applyStatus: 'patch',
  mergePatch: 'patch',
  patchStatus: 'patch',
  watch: 'watch',
}

/** `get jobs.batch`, `patch jobkeymigrations.keyshift.dev/status`: the right that a call needs. */
function rightOf(method: keyof KubeClient, { group, plural }: ResourceType): string {
  const resource = group === '' ? plural : `${plural}.${group}`
  return `${VERBS[method]} ${resource}${method === 'patchStatus' || method === 'applyStatus' ? '/status' : ''}`
}

export interface Recorder {
  readonly client: KubeClient
  /** Every call so far, in order. */
  readonly calls: string[]
  /** Called before each call is passed on; what it throws is the call's outcome. */
  before: (right: string, args: readonly unknown[]) => Promise<void> | void
  /** Makes each call but watches, or does not. */
  around: (right: string, args: readonly unknown[], call: (args: readonly unknown[]) => unknown) => unknown
}

/** A client that writes down which rights are used, and lets a test act before a call. */
export function record(client: KubeClient): Recorder {
  const recorder: Recorder = {
    calls: [],
    before: () => undefined,
    around: (_right, args, call) => call(args),
    client: new Proxy(client, {
      get(target, name: keyof KubeClient) {
        const call = target[name] as (...args: unknown[]) => unknown
        return (...args: unknown[]) => {
          const right = rightOf(name, args[0] as ResourceType)
          recorder.calls.push(right)
          // An apply that makes its object needs both.
          if (name === 'apply') recorder.calls.push(right.replace('patch', 'create'))
          if (name === 'watch') return call.apply(target, args)
          return Promise.resolve(recorder.before(right, args)).then(() =>
            recorder.around(right, args, (changed) => call.apply(target, [...changed])),
          )
        }
      },
    }),
  }
  return recorder
}

export function isWrite(right: string): boolean {
  return /^(create|patch|delete) /.test(right)
}
