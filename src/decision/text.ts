/**
 * What would move a terminal's cursor or turn the direction of a line: control characters, separators of lines, marks of direction and
 * what has no width.
 */
// eslint-disable-next-line no-control-regex
const DISTURBING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g

/** `text` cut to `max` UTF-16 units, well-formed, safe to print, an ellipsis where something is missing. */
export function cut(text: string, max: number): string {
  const whole = text
    .slice(0, 2 * max)
    .toWellFormed()
    .replaceAll(DISTURBING, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return whole.length <= max
    ? whole
    : `${whole
        .slice(0, max - 1)
        .toWellFormed()
        .replace(/\uFFFD$/, '')}…`
}

/** `1 pod`, `3 pods`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}

/** The first few of a list, and how many more there are. */
export function some(items: readonly string[], most = 3): string {
  const shown = items.slice(0, most).join(', ')
  return items.length > most ? `${shown} and ${items.length - most} more` : shown
}
