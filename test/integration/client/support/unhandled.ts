import { afterAll, beforeAll, expect } from '@jest/globals'

/** No promise of the file's tests may be rejected without anyone there to hear it. */
export function noUnhandledRejections(): void {
  const heard: unknown[] = []
  const hear = (reason: unknown): void => void heard.push(reason)
  beforeAll(() => {
    process.on('unhandledRejection', hear)
  })
  afterAll(async () => {
    // Node tells of them a turn later.
    await new Promise((resolve) => setTimeout(resolve, 10))
    process.off('unhandledRejection', hear)
    expect(heard).toEqual([])
  })
}
