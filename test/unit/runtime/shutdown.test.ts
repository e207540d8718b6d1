import { EventEmitter } from 'node:events'
import { watchShutdown } from '../../../src/runtime/shutdown.ts'
import type { FatalReason, ShutdownOptions } from '../../../src/runtime/shutdown.ts'
import { settle } from './fake-clock.ts'

function setUp(more: Partial<ShutdownOptions> = {}) {
  const emitter = new EventEmitter()
  const exits: number[] = []
  const process = Object.assign(emitter, { exit: (code: number) => void exits.push(code) })
  const signals: string[] = []
  const fatal: FatalReason[] = []
  const shutdown = watchShutdown({
    process,
    onSignal: (name) => signals.push(name),
    onFatal: (reason) => void fatal.push(reason),
    ...more,
  })
  return { emitter, exits, signals, fatal, shutdown }
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

  it.each(['uncaughtException', 'unhandledRejection'] as const)('reports %s, then exits with 1', async (kind) => {
    const { emitter, exits, fatal } = setUp()
    emitter.emit(kind, new Error('boom'))
    await settle()
    expect(fatal).toEqual([{ kind, error: new Error('boom') }])
    expect(exits).toEqual([1])
  })

  it('exits only after the log is flushed', async () => {
    const flushed = Promise.withResolvers<void>()
    const { emitter, exits } = setUp({ onFatal: () => flushed.promise })
    emitter.emit('uncaughtException', new Error('boom'))
    await settle()
    expect(exits).toEqual([])
    flushed.resolve()
    await settle()
    expect(exits).toEqual([1])
  })

  it('exits though the log never finishes', async () => {
    const exited = Promise.withResolvers<number>()
    const process = Object.assign(new EventEmitter(), { exit: exited.resolve })
    watchShutdown({ process, flushMs: 5, onFatal: () => new Promise(() => undefined) })
    process.emit('unhandledRejection', new Error('boom'))
    expect(await exited.promise).toBe(1)
  })

  it('exits though the log itself throws', async () => {
    const onFatal = () => {
      throw new Error('no log')
    }
    const { emitter, exits } = setUp({ onFatal })
    emitter.emit('uncaughtException', new Error('boom'))
    await settle()
    expect(exits).toEqual([1])
  })

  it('reports only the first fatal error, not those its ending causes', async () => {
    const { emitter, exits, fatal } = setUp()
    emitter.emit('uncaughtException', new Error('first'))
    emitter.emit('unhandledRejection', new Error('second'))
    await settle()
    expect(fatal).toHaveLength(1)
    expect(exits).toEqual([1])
  })

  it('leaves no listener behind when disposed', () => {
    const { emitter, shutdown } = setUp()
    shutdown.dispose()
    expect(emitter.eventNames()).toEqual([])
  })
})
