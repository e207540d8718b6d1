// Suites are projects: `npm run jest -- --selectProjects unit`.
const project = (displayName, extra = {}) => ({
  displayName,
  testMatch: [`<rootDir>/test/${displayName}/**/*.test.ts`],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'es6' } },
    ],
  },
  testEnvironment: 'node',
  ...extra,
})
export default {
  // Catches hangs only: how fast the machine is decides no test. Of no effect inside a project.
  testTimeout: 120_000,
  projects: [project('unit'), project('model'), project('property'), project('integration'), project('e2e')],
  coverageProvider: 'v8',
}
