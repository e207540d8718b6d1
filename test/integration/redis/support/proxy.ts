import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { CONNECTION_NAME } from '../../../../src/protocol/control-keys.ts'

/** A TCP proxy on loopback that can hold, delay, damage and cut what passes. */
export interface Proxy {
  readonly port: number
  /** Connections made so far. */
  readonly connections: () => number
  /** Holds what the server answers until released or cut. */
  holdReplies(): void
  /** Stops reading from the clients there are now: what they send waits in the kernel until released. */
  holdRequests(): void
  release(): void
  /** Delays each chunk of replies by what `ms` gives, in order. */
  delayReplies(ms: () => number): void
  /** Changes the next chunk of replies. */
  damageNext(change: (chunk: Buffer) => Buffer): void
  /**
   * Resets the connection of the next request that holds `marker`: before the server gets it, before the client gets its
   * reply, or after half of the reply.
   */
  cutNext(where: Cut, marker: string): void
  /** The peer of the connections there are now is gone without a word: what either side sends is lost, nothing is closed. */
  vanish(): void
  /** As proxies do that keep connections of their own: what clients call themselves does not reach the server. */
  hideNames(): void
  /** Resets all connections. @returns how many there were of clients */
  cut(): number
  /** Refuses connections, or takes them again. */
  refuse(on: boolean): void
  /** Sends new connections to another port. */
  redirect(port: number): void
  close(): Promise<void>
}

export type Cut = 'request' | 'reply' | 'mid-reply'

export async function startProxy(targetPort: number): Promise<Proxy> {
  let target = targetPort
  let made = 0
  let refusing = false
  let holding = false
  let delay: (() => number) | undefined
  let damage: ((chunk: Buffer) => Buffer) | undefined
  let cutting: { readonly where: Cut; readonly marker: string } | undefined
  let hidesNames = false
  let generation = 0
  const held: { socket: Socket; chunk: Buffer }[] = []
  const sockets = new Set<Socket>()
  const clients = new Set<Socket>()
  const write = (socket: Socket, chunk: Buffer): void => {
    if (!socket.destroyed) socket.write(chunk)
  }
  const server = createServer((client) => {
    if (refusing) {
      client.resetAndDestroy()
      return
    }
    made += 1
    const born = generation
    const vanished = (): boolean => born < generation
    clients.add(client)
    const upstream = connect(target, '127.0.0.1')
    let queue = Promise.resolve()
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
    }
    const end = (): void => {
      client.destroy()
      upstream.destroy()
      sockets.delete(client)
      clients.delete(client)
      sockets.delete(upstream)
    }
    let atReply: Cut | undefined
    const reset = (): void => {
      client.resetAndDestroy()
      upstream.resetAndDestroy()
    }
    client.on('close', () => (vanished() ? client.destroy() : end()))
    upstream.on('close', () => (vanished() ? upstream.destroy() : end()))
    client.on('data', (chunk) => {
      if (vanished()) return
      const hit = cutting !== undefined && chunk.includes(cutting.marker) ? cutting.where : undefined
      if (hit !== undefined) cutting = undefined
      if (hit === 'request') {
        reset()
        return
      }
      atReply = hit
      write(upstream, hidesNames ? nameless(chunk) : chunk)
    })
    upstream.on('data', (chunk) => {
      if (vanished()) return
      if (atReply === 'reply') {
        reset()
        return
      }
      if (atReply === 'mid-reply') {
        client.write(chunk.subarray(0, Math.ceil(chunk.length / 2)), reset)
        return
      }
      const out = damage?.(chunk) ?? chunk
      damage = undefined
      if (holding) {
        held.push({ socket: client, chunk: out })
        return
      }
      if (delay === undefined) {
        write(client, out)
        return
      }
      const late = new Promise((resolve) => setTimeout(resolve, delay?.()))
      queue = queue.then(() => late).then(() => write(client, out))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => made,
    holdReplies: () => (holding = true),
    holdRequests: () => {
      for (const client of clients) client.pause()
    },
    release: () => {
      holding = false
      for (const client of clients) client.resume()
      for (const { socket, chunk } of held.splice(0)) write(socket, chunk)
    },
    delayReplies: (ms) => (delay = ms),
    damageNext: (change) => (damage = change),
    cutNext: (where, marker) => (cutting = { where, marker }),
    vanish: () => (generation += 1),
    hideNames: () => (hidesNames = true),
    cut: () => {
      held.splice(0)
      const count = clients.size
      for (const socket of sockets) socket.resetAndDestroy()
      return count
    },
    refuse: (on) => (refusing = on),
    redirect: (port) => (target = port),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function nameless(chunk: Buffer): Buffer {
  const name = CONNECTION_NAME.client('')
  return Buffer.from(chunk.toString('latin1').replaceAll(name, 'x'.repeat(name.length)), 'latin1')
}
