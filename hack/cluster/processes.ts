import { readdirSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { type Identity, commandLine, identify, parentOf } from '../system/identity.ts'

export function allPids(): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
}

export const childrenOf = (parent: number): number[] => allPids().filter((pid) => parentOf(pid) === parent)

const keeperPrograms = new Set(['setpriv', 'unshare', 'sh', 'dash', 'bash', 'busybox', 'pause'])

/** Processes that hold a cluster's namespaces, found by the exact marker among their arguments and by what program they are. */
export function findKeepers(marker: string): Identity[] {
  return allPids()
    .filter((pid) => pid !== process.pid && commandLine(pid).includes(marker) && keeperPrograms.has(programOf(pid)))
    .map(identify)
    .filter((identity) => identity !== undefined)
}

/** All processes in the process namespace that `keeper` began. */
export function inNamespaceOf(keeper: number): number[] {
  const namespace = linkOf(`/proc/${keeper}/ns/pid`)
  return namespace === '' ? [] : allPids().filter((pid) => linkOf(`/proc/${pid}/ns/pid`) === namespace)
}

const programOf = (pid: number): string => basename(linkOf(`/proc/${pid}/exe`))

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return '' // The process is gone.
  }
}
