import { Writable } from 'node:stream'
import winston from 'winston'
import { LineSink, type LineStream } from './line-sink.ts'
import { toSafe } from './safe-json.ts'
import type { LogLevel } from './settings.ts'

export type LogFields = Readonly<Record<string, unknown>>

/** Structured log. Fields may hold anything: errors, sockets, cycles; see `toSafe`. */
export interface Logger {
  error(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
  /** A logger that puts `fields` on every line. */
  child(fields: LogFields): Logger
}

export interface Log {
  readonly logger: Logger
  setLevel(level: LogLevel): void
  /** Takes a text out of every later line, for credentials read at run time. */
  addSecret(value: string): void
  /** Resolves when every line has left the process, or after `limitMs`. */
  flush(limitMs: number): Promise<void>
}

/** Where winston looks for the finished line. */
const MESSAGE = Symbol.for('message')

/** Longest line, in characters: container runtimes cut lines at 16 KiB and log stores refuse far longer ones. */
const MAX_LINE = 64 * 1024

/** Made once, in `main.ts`. `now` gives ms since 1970. */
export function createLog(options: { level: LogLevel; stream: LineStream; now: () => number }): Log {
  const sink = new LineSink(options.stream)
  const secrets = new Set<string>()
  const fields = Symbol('fields')
  // Lines that are still inside winston's streams.
  let inside = 0

  const taken = (line: string): void => {
    inside -= 1
    sink.write(line)
  }
  // winston decides on levels; the line is made here, because a format that throws would end all logging silently.
  const render = winston.format((info) => {
    const given = toSafe(info[fields], secrets)
    const head = {
      time: new Date(options.now()).toISOString(),
      level: info.level,
      message: toSafe(String(info.message), secrets),
    }
    const text = JSON.stringify({ ...head, ...(typeof given === 'object' ? given : {}), ...head })
    info[MESSAGE] = text.length <= MAX_LINE ? text : JSON.stringify({ ...head, cut: text.slice(0, MAX_LINE / 4) })
    return info
  })
  const root = winston.createLogger({
    level: options.level,
    levels: { error: 0, warn: 1, info: 2, debug: 3 },
    format: render(),
    transports: [new winston.transports.Stream({ stream: intoSink(taken), eol: '\n' })],
    exitOnError: false,
  })

  const make = (bound: LogFields): Logger => {
    const write = (level: LogLevel) => (message: string, more?: LogFields) => {
      if (!root.isLevelEnabled(level)) return
      inside += 1
      root.log({ level, message, [fields]: more === undefined ? bound : { ...bound, ...more } })
    }
    return {
      error: write('error'),
      warn: write('warn'),
      info: write('info'),
      debug: write('debug'),
      child: (more) => make({ ...bound, ...more }),
    }
  }
  return {
    logger: make({}),
    setLevel: (level) => {
      root.level = level
    },
    addSecret: (value) => {
      // A short text would take ordinary words out of every line.
      if (value.trim().length >= 4) secrets.add(value.trim())
    },
    flush: async (limitMs) => {
      const end = options.now() + limitMs
      while (inside > 0 && options.now() < end) await new Promise((resolve) => setImmediate(resolve))
      await sink.flush(Math.max(0, end - options.now()))
    },
  }
}

// winston would wait for a slow stdout line by line; the sink takes them at once and knows what is still on its way.
function intoSink(take: (line: string) => void): Writable {
  return new Writable({
    decodeStrings: false,
    write: (chunk, _encoding, next) => {
      take(String(chunk).trimEnd())
      next()
    },
  })
}
