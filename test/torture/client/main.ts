/** A client process of a torture: see wire.ts for what goes in and out. */
import { createInterface } from 'node:readline'
import { createKeyshiftClient } from '../../../src/client/index.ts'
import { isSentinelGroup, parseRedisPlace } from '../../../src/redis/address.ts'
import { encodingOf, LEGACY, QUEUES, randomOf, TARGET, type Encoding } from '../jobs.ts'
import { consume } from './consumer.ts'
import { say } from './log.ts'
import { Recorder } from './recorder.ts'
import { request, type Request } from './request.ts'
import { Session } from './session.ts'
import { sabotage } from '../sabotage.ts'
import type { Command, Settings } from './wire.ts'

const settings = JSON.parse(process.env['KEYSHIFT_TORTURE'] ?? '{}') as Settings
const { seed, slot, incarnation, sessions, pauseMs } = settings
const recorder = new Recorder(settings.clockMs)
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
for (const event of ['unhandledRejection', 'uncaughtException'] as const)
  process.on(event, (error: unknown) =>
    say(['wrong', `${event}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`]),
  )

if (settings.sabotage !== undefined) sabotage(settings.sabotage)
const clients = { hash: connect('hash'), json: connect('json') }
let round: { readonly number: number; resting: boolean; readonly done: Promise<unknown> } | undefined

function connect<E extends Encoding>(encoding: E) {
  const { routingDir, podUid, podName, redis } = settings
  const pod = { podUid, podName: `${podName}-${encoding}` }
  return createKeyshiftClient({
    legacy: LEGACY,
    target: TARGET,
    encoding,
    routingDir,
    ...pod,
    redis: placeOf(redis),
    pollMs: 100,
  })
}

function placeOf(url: string) {
  const place = parseRedisPlace(url)
  if (!isSentinelGroup(place)) return { address: url }
  const addresses = place.sentinels.map(({ host, port }) => `${host}:${port}`)
  return { sentinel: { masterName: place.masterName, addresses, db: place.db } }
}

/** Goes on with `step` until it is time to rest. */
async function repeat(resting: () => boolean, random: () => number, step: () => Promise<void>): Promise<void> {
  while (!resting()) {
    await step()
    await sleep(random() * 2 * pauseMs)
  }
}

function start(number: number, jobs: readonly string[]): void {
  const state = { resting: false }
  const resting = (): boolean => state.resting
  const work = (['hash', 'json'] as const).flatMap((encoding) => {
    const own = jobs.filter((id) => encodingOf(id) === encoding)
    const callers = Array.from({ length: sessions }, (_, i) => {
      const tag = `${slot}.${incarnation}.${number}.${i}`
      const random = randomOf(seed, 'session', encoding, tag)
      const session = new Session({ client: clients[encoding], encoding, tag, recorder, random })
      return repeat(resting, random, () => session.step(own))
    })
    const random = randomOf(seed, 'consumer', encoding, slot, incarnation, number)
    const queue = encoding === 'hash' ? clients.hash.queue(QUEUES.hash) : clients.json.queue(QUEUES.json)
    return [...callers, repeat(resting, random, () => consume(queue as never, recorder, random))]
  })
  round = Object.assign(state, { number, done: Promise.all(work) })
}

function make(number: number, requests: readonly Request[]): void {
  const calls = requests.map((one) => {
    const encoding = encodingOf(one.jobId)
    const { action, send } = request(clients[encoding] as never, encoding, one)
    return recorder.run(one.jobId, action, (id) => send((old, text) => say(['swap', id, old, text])))
  })
  round = { number, resting: false, done: Promise.all(calls) }
}

async function obey(command: Command): Promise<void> {
  if (command.type === 'go') return start(command.round, command.jobs)
  if (command.type === 'do') return make(command.round, command.requests)
  if (round !== undefined) {
    round.resting = true
    await round.done
  }
  if (command.type === 'rest') return say(['resting', command.round])
  await Promise.all([clients.hash.close(), clients.json.close()])
  process.exit(0)
}

await Promise.all([clients.hash.ready({ deadlineMs: 60_000 }), clients.json.ready({ deadlineMs: 60_000 })])
say(['ready'])
let last = Promise.resolve()
for await (const line of createInterface({ input: process.stdin }))
  last = last.then(() => obey(JSON.parse(line) as Command))
await last
process.exit(0)
