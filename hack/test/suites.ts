/** The suites of `npm test`, in the order they run: the quick ones first. */
export type Suite = {
  readonly name: string
  readonly what: string
  /** Limit, minutes. */
  readonly minutes: number
} & (
  | { readonly kind: 'command'; readonly command: readonly string[] }
  | { readonly kind: 'jest'; readonly projects: readonly string[]; readonly args: readonly string[] }
)

export const SUITES: readonly Suite[] = [
  {
    name: 'check',
    kind: 'command',
    command: ['npm', 'run', '--silent', 'check'],
    minutes: 10,
    what: 'generated files, types, lint, import rules, format',
  },
  {
    name: 'build',
    kind: 'command',
    command: ['npm', 'run', '--silent', 'build'],
    minutes: 5,
    what: 'dist/app and dist/client',
  },
  {
    name: 'setup',
    kind: 'command',
    command: ['node', 'hack/test/setup.ts'],
    minutes: 45,
    what: 'packages and binaries that the tests need',
  },
  {
    name: 'unit',
    kind: 'jest',
    projects: ['unit', 'property'],
    args: [
      '--coverage',
      '--coverageReporters=text-summary',
      '--collectCoverageFrom=src/{api,decision,protocol}/**/*.ts',
      '--coverageThreshold={"global":{"branches":95}}',
    ],
    minutes: 10,
    what: 'pure folders and small parts',
  },
  {
    name: 'model',
    kind: 'jest',
    projects: ['model'],
    args: [],
    minutes: 10,
    what: 'every state of the safety protocol, and a counterexample for each rule taken away',
  },
  {
    name: 'integration',
    kind: 'jest',
    projects: ['integration'],
    // They wait more than they work: one for each core, where jest would leave a core free.
    args: ['--maxWorkers=100%'],
    minutes: 30,
    what: 'real Redis, real API server, real Prometheus',
  },
  {
    name: 'mutants',
    kind: 'command',
    command: ['npm', 'run', '--silent', 'mutants', '--', '--rotate', '3'],
    minutes: 10,
    what: 'three of the breakages that some test must notice, other ones each day',
  },
  {
    name: 'e2e',
    kind: 'jest',
    projects: ['e2e'],
    args: ['--runInBand'],
    minutes: 30,
    what: 'a whole cluster: the demo in short form, bad input',
  },
]
