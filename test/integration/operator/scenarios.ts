export interface Scenarios {
  /** A test that ends as `run` does, which began with all the others. */
  readonly scenario: (name: string, run: () => Promise<void>) => void
  /** Begins all of them. */
  start(): void
}

/** For tests that wait most of the time: they run all at once. */
export function makeScenarios(): Scenarios {
  const all: { readonly run: () => Promise<void>; running: Promise<void> }[] = []
  return {
    scenario: (name, run) => {
      const one = { run, running: Promise.resolve() }
      all.push(one)
      it(name, () => one.running)
    },
    start: () => {
      for (const one of all) {
        one.running = one.run()
        one.running.catch(() => undefined)
      }
    },
  }
}
