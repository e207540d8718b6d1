import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PASSING } from '../../../src/client/engine.ts'
import { CONNECTION_NAME, controlKeys, LEASE_RENEW_MS, LEASE_TTL_MS } from '../../../src/protocol/control-keys.ts'
import { ROUTING_FILE } from '../../../src/protocol/document.ts'
import { PHASES, ROUTING_TABLE, type PhaseRules } from '../../../src/protocol/phases.ts'
import { MAX_ID_BYTES } from '../../../src/protocol/templates.ts'
import { REFUSED_BEFORE_START } from '../../../src/redis/errors.ts'
import { LOOK_AGAIN } from '../../../src/redis/line.ts'
import { SCRIPTS, type ScriptName } from '../../../src/redis/scripts.generated.ts'
import { NEGATIVES } from '../../../test/model/cases.ts'
import { appUser } from '../redis-users.ts'
import { fieldsOf } from './interfaces.ts'
import { headerOf } from './lua.ts'

/** Scripts that a client calls. */
export const CLIENT_SCRIPTS = (Object.keys(SCRIPTS) as ScriptName[]).filter((name) => /^(job|queue|member)-/.test(name))

/** What docs/protocol.md takes from the code, by the name of its block. */
export function blocks(root: string): Readonly<Record<string, string>> {
  const protocol = (file: string): string => join(root, 'src/protocol', file)
  return {
    'routing table': routingTable(),
    document: fieldTable(protocol('document.ts'), 'RoutingDocument'),
    'control keys': controlKeyTable(protocol('control-keys.ts')),
    record: fieldTable(protocol('control-keys.ts'), 'RecordFields'),
    member: fieldTable(protocol('control-keys.ts'), 'MemberRecord'),
    lease: fieldTable(protocol('control-keys.ts'), 'LeaseRecord'),
    constants: constants(),
    proofs: proofs(),
    'script files': scriptFiles(),
    'job head': fence(headerOf(lua(root), 'lib/job').contract),
    'entry head': fence(headerOf(lua(root), 'lib/queue-entry').contract),
    scripts: scripts(root),
    refusals: refusals(),
    rights: appUser().join('\n'),
    pod: part(root, 'docs/client.md', /^```yaml\ncontainers:[^`]*```$/m),
    metrics: part(root, 'docs/client.md', /^\| metric \| labels \|\n(\|.*\|\n)+/m).trimEnd(),
  }
}

const lua = (root: string): string => join(root, 'src/redis/lua')
const fence = (lines: readonly string[]): string => ['```', ...lines, '```'].join('\n')
const cell = (text: string): string => text.replaceAll('|', '\\|')
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows.map((row) => row.map(cell))].map((row) => `| ${row.join(' | ')} |`).join('\n')

function routingTable(): string {
  const share = (value: number | 'ramp', document: string): string =>
    value === 'ramp' ? `\`${document}\`` : `${value} %`
  const order = ({ existence }: PhaseRules): string =>
    existence === 'legacy' ? '`L`' : '`TL` for the first `readTarget` %, `LT` for the others'
  return table(
    ['#', 'phase', 'a new job gets a legacy key', 'and a target key', 'reads that try the target first', 'existence is decided by', 'order'],
    PHASES.map((phase, index) => {
      const rules = ROUTING_TABLE[phase]
      const create = share(rules.createTarget, 'createTarget')
      const either = rules.existence === 'either' ? 'either key' : 'the legacy key alone'
      return [String(index), `\`${phase}\``, rules.createLegacy ? 'yes' : 'no', create, share(rules.readTarget, 'readTarget'), either, order(rules)]
    }),
  ) // prettier-ignore
}

function fieldTable(file: string, name: string): string {
  return table(
    ['field', 'type', 'meaning'],
    fieldsOf(file, name).map((field) => [
      `\`${field.name}\``,
      `\`${field.type.replace('readonly string[]', 'list of texts')}\``,
      field.doc,
    ]),
  )
}

const ARGUMENT: Readonly<Record<string, string>> = {
  lease: '<member id>',
  operation: '<operation id>',
  work: '<Job name>',
}

function controlKeyTable(file: string): string {
  const keys = controlKeys('<prefix>') as unknown as Record<string, string | ((arg: string) => string)>
  return table(
    ['key', 'meaning'],
    fieldsOf(file, 'ControlKeys').map(({ name, doc }) => {
      const key = keys[name]
      return [`\`${typeof key === 'function' ? key(ARGUMENT[name] ?? '<queue>') : (key ?? '')}\``, doc]
    }),
  )
}

function constants(): string {
  return table(
    ['constant', 'value'],
    [
      ['file of the document in the mounted directory', `\`${ROUTING_FILE}\``],
      ['longest id, UTF-8 bytes', String(MAX_ID_BYTES)],
      ['lease: time to live, ms', String(LEASE_TTL_MS)],
      ['lease: renewed every, ms', String(LEASE_RENEW_MS)],
      ['name of the connection (`CLIENT SETNAME`)', `\`${CONNECTION_NAME.client('<member id>')}\``],
    ],
  )
}

function proofs(): string {
  const broken = (violates: RegExp): string => {
    const [, family = '', digits = ''] = /^\^([A-Z])\[?(\d*)/.exec(violates.source) ?? []
    return digits === '' ? family : [...digits].map((digit) => `${family}${digit}`).join(' or ')
  }
  return table(
    ['taken away', 'broken'],
    Object.entries(NEGATIVES).map(([what, { violates }]) => [what, broken(violates)]),
  )
}

function scriptFiles(): string {
  return table(
    ['file in `docs/protocol-scripts`', 'SHA-1'],
    CLIENT_SCRIPTS.map((name) => [`\`${name}.lua\``, `\`${SCRIPTS[name].sha1}\``]),
  )
}

function scripts(root: string): string {
  return CLIENT_SCRIPTS.map((name) => {
    const { about, contract } = headerOf(lua(root), name)
    return [`### ${name}`, '', about, '', fence(contract)].join('\n')
  }).join('\n\n')
}

function refusals(): string {
  const yes = (is: boolean): string => (is ? 'yes' : '')
  return table(
    ['first word of the error', 'try again by yourself', 'first find the primary again'],
    [...REFUSED_BEFORE_START].map((code) => [`\`${code}\``, yes(PASSING.has(code)), yes(LOOK_AGAIN.includes(code))]),
  )
}

/** A piece of another page, so that it is written once. */
function part(root: string, file: string, piece: RegExp): string {
  const found = piece.exec(readFileSync(join(root, file), 'utf8'))
  if (found === null) throw new Error(`${file} has no part that looks like ${piece.source}`)
  return found[0]
}
