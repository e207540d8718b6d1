import { REASONS, type ReasonInfo } from '../../src/api/reasons.ts'

/** `docs/reasons.md`: every reason that a condition or an Event can carry. */
export function reasonsPage(): string {
  const rows = Object.entries<ReasonInfo>(REASONS)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([reason, { meaning, action }]) => `| \`${reason}\` | ${cell(meaning)} | ${cell(action)} |`)
  return [
    '<!-- Do not edit: made from src/api/reasons.ts by `npm run generate`. -->',
    '# Reasons',
    '',
    'What a condition or an Event of a `JobKeyMigration` says, and what to do. `status.awaits`, the first line of status in `kubectl describe jkm`, has both in one line.',
    '',
    '| reason | what it means | what to do |',
    '|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

const cell = (text: string): string => text.replaceAll('|', '\\|')
