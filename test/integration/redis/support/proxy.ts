import { createServer, connect, type AddressInfo, type Socket } from 'node:net'

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
   * Resets its connection in place of passing the next chunk on: before the server gets a request, before the client gets a
   * reply, or after half of the reply.
   */
  cutNext(where: 'request' | 'reply' | 'mid-reply'): void
  /** The peer of the connections there are now is gone without a word: what either side sends is lost, nothing is closed. */
  vanish(): void
  /** Resets all connections. */
  cut(): void
  /** Refuses connections, or takes them again. */
  refuse(on: boolean): void
  /** Sends new connections to another port. */
  redirect(port: number): void
  close(): Promise<void>
}

export async function startProxy(targetPort: number): Promise<Proxy> {
  let target = targetPort
  let made = 0
  let refusing = false
  let holding = false
  let delay: (() => number) | undefined
  let damage: ((chunk: Buffer) => Buffer) | undefined
  let cutting: 'request' | 'reply' | 'mid-reply' | undefined
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
    const reset = (): void => {
      cutting = undefined
      client.resetAndDestroy()
      upstream.resetAndDestroy()
    }
    client.on('close', () => (vanished() ? client.destroy() : end()))
    upstream.on('close', () => (vanished() ? upstream.destroy() : end()))
    client.on('data', (chunk) => {
      if (vanished()) return
      if (cutting === 'request') reset()
      else write(upstream, chunk)
    })
    upstream.on('data', (chunk) => {
      if (vanished()) return
      if (cutting === 'mid-reply') client.write(chunk.subarray(0, Math.ceil(chunk.length / 2)))
      if (cutting === 'reply' || cutting === 'mid-reply') {
        // After its end, so that the half is on the wire.
        if (cutting === 'reply') reset()
        else setImmediate(reset)
        return
      }
      const out = damage?.(chunk) ?? chunk
      damage = undefined
      if (holding) {
        held.push({ socket: client, chunk: out })
        return
      }
      const ms = delay?.() ?? 0
      if (delay === undefined) write(client, out)
      else queue = queue.then(() => new Promise((resolve) => setTimeout(resolve, ms))).then(() => write(client, out))
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
    cutNext: (where) => (cutting = where),
    vanish: () => (generation += 1),
    cut: () => {
      held.splice(0)
      for (const socket of sockets) socket.resetAndDestroy()
    },
    refuse: (on) => (refusing = on),
    redirect: (port) => (target = port),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
