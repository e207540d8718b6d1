import { findProgram } from '../system/run.ts'

const packages: Record<string, string> = {
  etcd: 'etcd-server',
  'redis-server': 'redis-server',
  prometheus: 'prometheus',
  openssl: 'openssl',
}

export function requireProgram(name: string): string {
  const path = findProgram(name)
  if (path !== undefined) return path
  throw new Error(`${name} is missing: npm test installs it, or install the package ${packages[name] ?? name} yourself`)
}
