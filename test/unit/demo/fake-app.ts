import type { Answer, Api } from '../../../demo/http-api.ts'

interface Stored {
  workspace: string
  fields: Record<string, string>
  expiresAt?: number
}

type Body = {
  workspace?: string
  job?: string
  fields?: Record<string, string>
  increment?: Record<string, number>
  expiresAt?: number
}

/** The sample app's HTTP surface over a Map: honest, so that a test can spoil one answer and see it noticed. */
export class FakeApp implements Api {
  readonly jobs = new Map<string, Stored>()
  now = 1_000_000

  async send(method: string, path: string, body?: unknown): Promise<Answer> {
    const [, , workspace = '', , id = '', verb] = path.split('/')
    const input = (body ?? {}) as Body
    if (method === 'POST') {
      this.jobs.set(input.job ?? '', {
        workspace: input.workspace ?? '',
        fields: { ...input.fields },
        ...(input.expiresAt !== undefined && { expiresAt: input.expiresAt }),
      })
      return { status: 201, body: {} }
    }
    if (id === '') return { status: 200, body: { jobs: this.#list(workspace) } }
    const job = this.jobs.get(id)
    const over = job?.expiresAt !== undefined && job.expiresAt <= this.now
    if (job === undefined || over || job.workspace !== workspace) return { status: 404, body: {} }
    if (method === 'GET') return { status: 200, body: { fields: { ...job.fields } } }
    if (method === 'DELETE') this.jobs.delete(id)
    if (method === 'PATCH') this.#patch(job, input)
    if (verb === 'expire' && input.expiresAt !== undefined) job.expiresAt = input.expiresAt
    return { status: 200, body: {} }
  }

  close(): void {}

  #patch(job: Stored, { fields = {}, increment = {} }: Body): void {
    Object.assign(job.fields, fields)
    for (const [field, by] of Object.entries(increment)) job.fields[field] = String(Number(job.fields[field] ?? 0) + by)
  }

  #list(workspace: string): { job: string; workspace: string }[] {
    return [...this.jobs].filter(([, job]) => job.workspace === workspace).map(([job]) => ({ job, workspace }))
  }
}
