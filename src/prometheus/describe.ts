/** fetch hides the reason in the cause. */
export function describe(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { code?: string; message?: string } }
  if (cause === undefined) return message ?? String(error)
  return [cause.code, cause.message].filter(Boolean).join(' ')
}
