import { z } from 'zod'

/** Names every variable at fault, so that one look at the pod is enough. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError'
}

/**
 * Reads settings from the environment, once, in `main.ts`. The keys of `shape` are the names of the variables; an empty
 * variable counts as absent.
 * @throws SettingsError
 */
export function readSettings<Shape extends z.ZodRawShape>(
  shape: Shape,
  env: Readonly<Record<string, string | undefined>>,
): z.output<z.ZodObject<Shape>> {
  const given = Object.fromEntries(
    Object.keys(shape).map((name) => [name, env[name] === '' ? undefined : env[name]] as const),
  )
  const parsed = z.object(shape).safeParse(given)
  if (parsed.success) return parsed.data
  throw new SettingsError(
    parsed.error.issues
      .map(({ path, message }) => {
        const name = String(path[0])
        return given[name] === undefined ? `${name} is not set` : `${name}: ${message}`
      })
      .join('; '),
  )
}

/** A whole number written in digits. */
export function integerText(min: number, max: number) {
  return z
    .string()
    .transform((text) => (/^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN))
    .refine((n) => n >= min && n <= max, `must be a whole number from ${min} to ${max}`)
}

/** A TCP port. */
export const portText = integerText(1, 65_535)

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export const logLevelText = z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`)
