import type { ClientOptions } from './types.ts'

export type Log = NonNullable<ClientOptions['log']>

/** The app's log function as the client may call it from anywhere: it neither throws nor leaves a rejected promise behind. */
export function safeLog(log: ClientOptions['log']): Log {
  const heard: (...entry: Parameters<Log>) => unknown = log ?? (() => undefined)
  return (...entry) => {
    try {
      // A function that returns a promise has a type that returns nothing.
      Promise.resolve(heard(...entry)).catch(() => undefined)
    } catch {
      // There is nowhere left to say so.
    }
  }
}
