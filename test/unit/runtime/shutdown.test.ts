import { EventEmitter } from 'node:events'
import { watchShutdown } from '../../../src/runtime/shutdown.ts'

function setUp() {
  const emitter = new EventEmitter()
  const exits: number[] = []
  const process = Object.assign(emitter, { exit: (code: number) => void exits.push(code) })
  const signals: string[] = []
  const shutdown = watchShutdown({
    process,
    onSignal: (name) => signals.push(name),
  })
  return { emitter, exits, signals, shutdown }
}

describe('watchShutdown', () => {
  it.each(['SIGTERM', 'SIGINT'])('aborts its signal on %s and does not exit', (name) => {
    const { emitter, exits, signals, shutdown } = setUp()
    expect(shutdown.signal.aborted).toBe(false)
    emitter.emit(name)
    expect(shutdown.signal.aborted).toBe(true)
    expect(signals).toEqual([name])
    expect(exits).toEqual([])
  })

  it('exits at once on a second signal', () => {
    const { emitter, exits, signals } = setUp()
    emitter.emit('SIGTERM')
    emitter.emit('SIGINT')
    expect(exits).toEqual([130])
    expect(signals).toEqual(['SIGTERM'])
  })

  it('leaves no listener behind when disposed', () => {
    const { emitter, shutdown } = setUp()
    shutdown.dispose()
    expect(emitter.eventNames()).toEqual([])
  })
})
