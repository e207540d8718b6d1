/**
 * Every right that the operator uses, as `verb resource`. The chart must grant these and no others, and the walk, which runs under
 * the chart's ServiceAccount, must be seen to use each.
 */
export const RIGHTS = {
  /** Each namespace watched. */
  watched: [
    'get jobkeymigrations.keyshift.dev',
    'list jobkeymigrations.keyshift.dev',
    'watch jobkeymigrations.keyshift.dev',
    'patch jobkeymigrations.keyshift.dev/status',
    'list configmaps',
    'watch configmaps',
    'create configmaps',
    'patch configmaps',
    'list pods',
    'watch pods',
    'get secrets',
    'create events',
    'patch events',
    'get jobs.batch',
    'list jobs.batch',
    'watch jobs.batch',
    'create jobs.batch',
    'patch jobs.batch',
    'delete jobs.batch',
    'get cronjobs.batch',
    'get deployments.apps',
    'get statefulsets.apps',
    'get daemonsets.apps',
    'get replicasets.apps',
  ],
  /** The operator's own namespace. */
  own: ['create leases.coordination.k8s.io', 'get leases.coordination.k8s.io', 'patch leases.coordination.k8s.io'],
  cluster: ['get namespaces', 'get customresourcedefinitions.apiextensions.k8s.io'],
} as const
