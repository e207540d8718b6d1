/** What the call throws or rejects with; what it settles with as `{ settled }`, which no error is. */
export const thrownBy = (act: () => Promise<unknown>): Promise<unknown> =>
  (async () => act())().then(
    (settled) => ({ settled }),
    (error: unknown) => error,
  )
