import { createInterface } from 'node:readline'
import { Registry } from 'prom-client'
import { createKeyshiftClient } from '../../../../src/client/index.ts'
import { LEGACY, TARGET } from './routing.ts'
import type { Said } from './process.ts'

const [address = '', dir = ''] = process.argv.slice(2)
const say = (said: Said): void => void process.stdout.write(`${JSON.stringify(said)}\n`)
const registry = new Registry()
const client = createKeyshiftClient({
  legacy: LEGACY,
  target: TARGET,
  encoding: 'hash',
  redis: { address },
  podUid: 'pod-1',
  metrics: { registry },
  log: (level, message) => say({ log: { level, message } }),
  ...(dir === '' ? {} : { routingDir: dir }),
})
let last = ''
const watch = setInterval(() => {
  const state = client.state()
  if (JSON.stringify(state) !== last) say({ state })
  last = JSON.stringify(state)
}, 10)
const input = createInterface({ input: process.stdin })
input.on('line', (what) => {
  if (what === 'page') void registry.metrics().then((page) => say({ page }))
  if (what === 'get')
    client
      .forWorkspace('w1')
      .get('j1', { deadlineMs: 500 })
      .catch(() => undefined)
  if (what === 'close')
    void client.close().then(() => {
      // Nothing of the client may hold the process from here on.
      clearInterval(watch)
      input.close()
      process.stdin.destroy()
      say({ state: client.state() })
    })
})
