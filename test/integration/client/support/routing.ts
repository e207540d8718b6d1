import { lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeDocument, renderDocument, ROUTING_FILE, type RoutingDocument } from '../../../../src/protocol/document.ts'
import { routingState, type Phase } from '../../../../src/protocol/phases.ts'
import { parseTemplates } from '../../../../src/protocol/templates.ts'
import { controlKeys } from '../../../../src/protocol/control-keys.ts'

export const LEGACY = 'ai:job:{job_id}'
export const TARGET = 'ai:job:{workspace_id}:{job_id}'
export const TEMPLATES = parseTemplates(LEGACY, TARGET)
export const KEYS = controlKeys(TEMPLATES.controlPrefix)

export function documentOf(epoch: number, phase: Phase, percent = 100, targetsBefore = epoch > 1): RoutingDocument {
  const input = {
    name: 'ai-jobs',
    canaryBy: 'Job',
    legacy: LEGACY,
    target: TARGET,
    workspaceField: 'workspace_id',
    queues: ['ai:queue'],
  } as const
  return makeDocument(input, routingState(phase, 0, percent), epoch, targetsBefore)
}

/** A directory like one that kubelet mounts a ConfigMap in: the file is a link into a folder that is swapped. */
export class MountedDir {
  readonly path = mkdtempSync(join(tmpdir(), 'keyshift-routing-'))
  #swaps = 0

  /** Puts a text (undefined: no file) in place of what is there, as one swap. */
  swap(text: string | undefined): void {
    const folder = `..${(this.#swaps += 1)}`
    mkdirSync(join(this.path, folder), { recursive: true })
    if (text !== undefined) writeFileSync(join(this.path, folder, ROUTING_FILE), text)
    symlinkSync(folder, join(this.path, '..data_tmp'))
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'))
    const link = join(this.path, ROUTING_FILE)
    if (lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync(join('..data', ROUTING_FILE), link)
  }

  publish(doc: RoutingDocument): void {
    this.swap(renderDocument(doc))
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
