import { afterEach, expect, test } from '@jest/globals'
import { setImmediate } from 'node:timers/promises'
import { Inflight } from '../../../src/client/inflight.ts'
import { Membership } from '../../../src/client/membership.ts'
import { Routing } from '../../../src/client/routing.ts'
import { makeDocument } from '../../../src/protocol/document.ts'
import { routingState } from '../../../src/protocol/phases.ts'
import { parseTemplates } from '../../../src/protocol/templates.ts'
import { Connection } from '../../../src/redis/connection.ts'
import { parseRedisAddress } from '../../../src/redis/address.ts'

const [legacy, target] = ['ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}']
const routing = (epoch: number): Routing => {
  const input = { name: 'm', canaryBy: 'Job', legacy, target, workspaceField: 'workspace_id', queues: [] } as const
  return new Routing(parseTemplates(legacy, target), makeDocument(input, routingState('DualWrite', 10, 0), epoch))
}

/** A server that has every renewal at once: what each told of the epoch and of illegal ids. */
class Server extends Connection {
  readonly told: { readonly epoch: number; readonly illegal: number }[] = []

  constructor() {
    super({ address: parseRedisAddress('redis://127.0.0.1:1/0'), name: 'none' })
  }

  override async runScript(_name: string, _keys: unknown, args: readonly unknown[]): Promise<unknown> {
    this.told.push({ epoch: Number(args[2]), illegal: Number(args[8]) })
    return [args[0], 'OK', '']
  }
}

let membership: Membership
afterEach(() => membership.close(1))

function makeMembership() {
  const [server, inflight] = [new Server(), new Inflight()]
  const state = { routing: routing(5) }
  membership = new Membership({
    connection: server,
    inflight,
    memberId: 'm-1',
    podUid: 'uid-1',
    podName: 'api-1',
    routing: () => state.routing,
    onRenewed: () => undefined,
    onFailed: (error) => {
      throw error
    },
  })
  return { server, inflight, state }
}

/** No timer has run: what was told was told by itself. */
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await setImmediate()
}

test('an epoch is told as soon as the last operation of an older one has ended', async () => {
  const { server, inflight, state } = makeMembership()
  const [one, other] = [inflight.begin(5), inflight.begin(5)]
  state.routing = routing(6)
  membership.renew()
  await settled()
  one()
  await settled()
  expect(server.told.map(({ epoch }) => epoch)).toEqual([5])
  other()
  await settled()
  expect(server.told.map(({ epoch }) => epoch)).toEqual([5, 6])
})

test('the end of an operation of the epoch that was told tells nothing again', async () => {
  const { server, inflight } = makeMembership()
  membership.renew()
  await settled()
  inflight.begin(5)()
  await settled()
  expect(server.told).toHaveLength(1)
})

test('D11: an illegal id is handed in once, by a renewal that was sent after it was met', async () => {
  const { server } = makeMembership()
  membership.renew()
  await Promise.all([membership.tellIllegalId('a:b'), membership.tellIllegalId('c:d')])
  expect(server.told.map(({ illegal }) => illegal)).toEqual([0, 2])
  membership.renew()
  await settled()
  expect(server.told.at(-1)?.illegal).toBe(0)
})
