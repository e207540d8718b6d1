import { createServer } from 'node:net'

/** Below Linux's range for outgoing connections, so that no connection takes the port between the test and its use. */
const low = 20_000
const high = 32_000

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const port = low + Math.floor(Math.random() * (high - low))
    if (await isFree(port)) return port
  }
  throw new Error(`no free port between ${low} and ${high} on 127.0.0.1`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Another process may take a free port first: programs that die of it are started again on others. */
export async function withPorts<T>(count: number, start: (ports: number[]) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const ports: number[] = []
    while (ports.length < count) {
      const port = await freePort()
      if (!ports.includes(port)) ports.push(port)
    }
    try {
      return await start(ports)
    } catch (error) {
      if (attempt === 3 || !/address already in use/i.test(String(error))) throw error
    }
  }
}
