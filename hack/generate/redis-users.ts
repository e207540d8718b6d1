import { parseTemplates } from '../../src/protocol/templates.ts'
import { aclRules, appRights, keyshiftRights, type NeededRight } from '../../src/redis/rights.ts'

const WIDTH = 110
const templates = parseTemplates('ai:job:{job_id}', 'ai:job:{workspace_id}:{job_id}')
const input = { templates, workspaceField: 'workspace_id', queues: ['ai:queue'] }

/** The line that makes the user of an application. */
export const appUser = (): string[] => line('app', appRights(input))

/** `docs/redis-users.md`: the Redis users of an installation, each with the least rights that do. */
export function redisUsersPage(): string {
  const advised = aclRules(keyshiftRights(input).filter(({ tells }) => tells === 'writers')).join(' ')
  return [
    '<!-- Do not edit: made from src/redis/rights.ts by `npm run generate`. -->',
    '# Redis users',
    '',
    'The least rights that do, for `ai:job:{job_id}` -> `ai:job:{workspace_id}:{job_id}` with the queue `ai:queue` in db 0. Put your own key',
    `patterns in their place. \`${templates.controlPrefix}\` is the control prefix of these two templates; a routing document names yours, and`,
    '`~keyshift:*` covers every one. Another db than 0 needs `+select` besides.',
    '',
    'The user of `redis.credentialsSecretRef`, for the operator and its worker Jobs:',
    '',
    ...line('keyshift', keyshiftRights(input)),
    '',
    'The user of the application, with the Keyshift client:',
    '',
    ...appUser(),
    '',
    'What is missing is named all at once: of the `keyshift` user by preflight or, where the operator cannot even read, in `status.awaits`; of the',
    "application's users, as soon as one of its pods is connected, as `RedisRightsMissing`, and no step is taken until it is granted. Without",
    `\`${advised}\` nobody can tell who else writes jobs and what the users of the application may`,
    'do: preflight warns of it. Where a managed Redis has no ACL to ask, compare with the lines above.',
    '',
    'No password stands in an address: give it as `password` (and `username`) in the Secret, byte for byte. A trailing newline counts; make the Secret',
    'with `--from-literal` or `printf`, not `echo`. A rotated password is picked up without a restart: the operator reads the Secret again, a worker its',
    'mounted files, the client asks its `credentials` function, each at the next attempt to connect.',
    '',
  ].join('\n')
}

function line(user: string, needed: readonly NeededRight[]): string[] {
  const words = ['ACL SETUSER', user, 'reset on >PASSWORD', ...aclRules(needed)]
  const lines: string[] = []
  let text = ''
  for (const word of words) {
    if (text.length + word.length > WIDTH) {
      lines.push(text)
      text = ' '
    }
    text = text === '' ? word : `${text} ${word}`
  }
  return ['```', ...lines, text, '```']
}
