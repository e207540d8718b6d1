// Do not edit: made from src/redis/lua by `npm run generate`.
export interface Script {
  /** SHA-1 of the source, for EVALSHA. */
  readonly sha1: string
  readonly source: string
}
export const SCRIPTS = {
} as const satisfies Record<string, Script>
export type ScriptName = keyof typeof SCRIPTS
