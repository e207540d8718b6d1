import { CONNECTION_NAME } from '../../protocol/control-keys.ts'
import { Refused } from '../../redis/errors.ts'
import { appRights, grantText, keyshiftRights, type RightsInput } from '../../redis/rights.ts'
import { dryRun, type Ask } from '../../redis/rights-check.ts'
import { parseClientList } from './redis-clients.ts'

/**
 * What the users under which members are connected lack, one line a user with the command that grants it. Nothing is said where the
 * server lists no connections or answers no DRYRUN: preflight warns of that.
 * @throws NotReady, UnknownOutcome
 */
export async function missingOfApp(
  ask: Ask,
  members: readonly { readonly id: string }[],
  input: RightsInput,
): Promise<readonly string[]> {
  const names = new Set(members.map(({ id }) => CONNECTION_NAME.client(id)))
  const list = await unlessRefused(ask(['CLIENT', 'LIST']))
  const clients = parseClientList(list ?? '').filter(({ name }) => names.has(name))
  const lines: string[] = []
  for (const user of [...new Set(clients.map((client) => client.user))].sort()) {
    const missing = (await dryRun(ask, user, appRights(input))) ?? []
    if (missing.length > 0) lines.push(grantText(user, missing))
  }
  return lines
}

/** What the operator's own user lacks, all at once; undefined where nobody can tell. @throws NotReady, UnknownOutcome */
export async function missingOfOwn(ask: Ask, input: RightsInput): Promise<string | undefined> {
  const user = await unlessRefused(ask(['ACL', 'WHOAMI']))
  if (user === undefined) return undefined
  const needed = keyshiftRights(input).filter(({ tells }) => tells === undefined)
  const missing = (await dryRun(ask, user, needed)) ?? []
  return missing.length === 0 ? undefined : grantText(user, missing)
}

async function unlessRefused(answer: Promise<unknown>): Promise<string | undefined> {
  return answer.then(String, (error: unknown) => {
    if (error instanceof Refused) return undefined
    throw error
  })
}
