// Dependencies point one way: adapters know the core, the core knows nobody.
const only = (from, allowed, why) => ({
  name: `${from}-imports`,
  comment: why,
  severity: 'error',
  from: { path: `^src/${from}/` },
  to: { path: '^src/', pathNot: [from, ...allowed].map((folder) => `^src/${folder}/`) },
})
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    only('protocol', [], 'the protocol is pure and shared by every part'),
    only('api', ['protocol'], 'the resource knows only the protocol it declares'),
    only('decision', ['api', 'protocol'], 'decisions are plain data in, plain data out'),
    only('runtime', [], 'generic: knows nothing of Keyshift'),
    only('kube', ['runtime'], 'adapter: knows no operator'),
    only('redis', ['protocol'], 'adapter: knows the protocol only, because the client package ships it'),
    only('prometheus', ['runtime'], 'adapter: knows no operator'),
    only('platform', [], 'process plumbing: settings, logger, metrics, probes'),
    only('client', ['protocol', 'redis'], 'the library an application imports: no kube, no winston'),
    only('worker', ['api', 'protocol', 'redis', 'platform', 'runtime'], 'worker pods carry no Kubernetes credentials'),
    only(
      'operator',
      ['api', 'protocol', 'decision', 'redis', 'kube', 'prometheus', 'platform', 'runtime'],
      'operator, worker and client never import each other',
    ),
    {
      name: 'pure-folders-do-no-io',
      severity: 'error',
      from: { path: '^src/(protocol|api|decision)/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?crypto$' },
    },
    {
      name: 'kube-only-in-kube',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/kube/' },
      to: { path: '@kubernetes/client-node' },
    },
    {
      name: 'client-stays-small',
      severity: 'error',
      from: { path: '^src/(client|redis|protocol)/' },
      to: { path: 'node_modules/(winston|zod|yaml)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
}
