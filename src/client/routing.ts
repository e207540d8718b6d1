import { isSelected } from '../protocol/bucket.ts'
import { controlKeys, type ControlKeys } from '../protocol/control-keys.ts'
import type { RoutingDocument } from '../protocol/document.ts'
import { phaseIndex, ROUTING_TABLE, type Phase } from '../protocol/phases.ts'
import { checkId, classifyKey, legacyKey, targetKey, type KeyTemplates } from '../protocol/templates.ts'
import { InvalidId } from './errors.ts'

/** Which keys are read and decide existence, as the scripts take it: see lib/job.lua. */
export type KeyOrder = 'L' | 'LT' | 'TL'

/**
 * Before any epoch made target keys, a name of their form is a job whose id has the delimiter in it. Scripts keep to that
 * while the fence lies below the epoch: so long there is no next one. `shared`: this id has such a name, in its own workspace.
 */
export type Names = 'parted' | 'unparted' | 'shared'

/** What one operation on one job does under one epoch. */
export interface Route {
  readonly legacyKey: string
  /** The legacy key while unmanaged, and where the ids do not fit the target template (phase Legacy only): no target. */
  readonly targetKey: string
  readonly order: KeyOrder
  /** A new job gets a target key. */
  readonly createTarget: boolean
  readonly names: Names
}

/** The routing in force: a document's, or plain legacy operation while unmanaged (epoch 0). */
export class Routing {
  readonly epoch: number
  readonly hash: string
  /** Name of the migration, '' while unmanaged. */
  readonly name: string
  readonly phase: Phase
  readonly templates: KeyTemplates
  readonly keys: ControlKeys
  readonly #doc: RoutingDocument | undefined

  constructor(templates: KeyTemplates, doc?: RoutingDocument) {
    this.templates = templates
    this.keys = controlKeys(templates.controlPrefix)
    this.#doc = doc
    this.epoch = doc?.epoch ?? 0
    this.hash = doc?.hash ?? ''
    this.name = doc?.name ?? ''
    this.phase = doc?.phase ?? 'Legacy'
  }

  /** Target keys may exist. */
  get targets(): boolean {
    return this.#doc?.targets === true
  }

  get phaseIndex(): number {
    return phaseIndex(this.phase)
  }

  /** @throws InvalidId where no job of this workspace can be named */
  checkWorkspace(workspaceId: string): void {
    this.#check('workspace id', workspaceId)
  }

  /** The id of a pair that will be refused from phase 1 on. @throws InvalidId from then on */
  illegalId(workspaceId: string, jobId: string): string | undefined {
    const illegal = [this.#check('workspace id', workspaceId), this.#check('job id', jobId)]
    return illegal.find((id) => id !== undefined)
  }

  /** @throws InvalidId */
  route(workspaceId: string, jobId: string): Route {
    const illegalId = this.illegalId(workspaceId, jobId)
    const legacy = legacyKey(this.templates, jobId)
    // Before epoch 1 no target key can be there: what looks like one is a job whose id has the delimiter in it.
    if (illegalId !== undefined || this.#doc === undefined)
      return {
        legacyKey: legacy,
        targetKey: legacy,
        order: 'L',
        createTarget: false,
        names: this.#names(workspaceId, jobId, legacy),
      }
    return {
      legacyKey: legacy,
      targetKey: targetKey(this.templates, workspaceId, jobId),
      order: this.order(workspaceId, jobId),
      createTarget: this.#selects(workspaceId, jobId, this.#doc.createTarget),
      names: this.targets ? 'parted' : 'unparted',
    }
  }

  #names(workspaceId: string, jobId: string, key: string): Names {
    const read = classifyKey(this.templates, key)
    if (this.#doc === undefined || read.kind !== 'target' || read.workspaceId !== workspaceId) return 'parted'
    if (!this.targets) return 'shared'
    throw new InvalidId(
      'job id',
      jobId,
      `is the name of the target key of job ${JSON.stringify(read.jobId)} of its workspace`,
    )
  }

  order(workspaceId: string, jobId: string): KeyOrder {
    if (ROUTING_TABLE[this.phase].existence === 'legacy') return 'L'
    return this.#selects(workspaceId, jobId, this.#doc?.readTarget ?? 0) ? 'TL' : 'LT'
  }

  // In Legacy ids with the delimiter in them work as before; what no key can hold byte for byte never does.
  #check(what: 'workspace id' | 'job id', id: string): string | undefined {
    const why = checkId(this.templates, id)
    if (why === undefined) return undefined
    if (this.phase !== 'Legacy' || typeof id !== 'string' || id === '' || !id.isWellFormed())
      throw new InvalidId(what, id, why)
    return id
  }

  #selects(workspaceId: string, jobId: string, percent: number): boolean {
    return isSelected(this.name, this.#doc?.canaryBy === 'Workspace' ? workspaceId : jobId, percent)
  }
}
