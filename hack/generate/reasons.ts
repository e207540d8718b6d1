import { PREFLIGHT_REASONS } from '../../src/api/preflight-reasons.ts'
import { REASONS, type ReasonInfo } from '../../src/api/reasons.ts'

/** `docs/reasons.md`: every reason that a condition or an Event can carry. */
export function reasonsPage(): string {
  return [
    '<!-- Do not edit: made from src/api/reasons.ts by `npm run generate`. -->',
    '# Reasons',
    '',
    'What a condition or an Event of a `JobKeyMigration` says, and what to do. `status.awaits`, the first line of status in `kubectl describe jkm`, has both in one line.',
    '',
    '| reason | what it means | what to do |',
    ...table(REASONS),
    '',
    '## What preflight finds',
    '',
    'Blockers stand in the message of `PreflightBlocked`, warnings in the Event `PreflightPassed`, each with the keys, rights or figures it is about.',
    '',
    '| reason | what it means | what to do |',
    ...table(PREFLIGHT_REASONS),
    '',
  ].join('\n')
}

function table(reasons: Readonly<Record<string, ReasonInfo>>): readonly string[] {
  const rows = Object.entries(reasons)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([reason, { meaning, action }]) => `| \`${reason}\` | ${cell(meaning)} | ${cell(action)} |`)
  return ['|---|---|---|', ...rows]
}

const cell = (text: string): string => text.replaceAll('|', '\\|')
