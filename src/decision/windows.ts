import type { SoakWindow } from './types.ts'

/** What of the windows lies after `through` (ms). A window is one verdict, and each part of it has the same. */
export function uncounted(windows: readonly SoakWindow[], through: number): readonly SoakWindow[] {
  return windows
    .filter(({ end }) => end > through)
    .map((window) => (window.start < through ? { ...window, start: through } : window))
}

/** The windows with neighbours joined that say the same of every check. Failures stay apart: they are counted. */
export function mergeWindows(windows: readonly SoakWindow[]): readonly SoakWindow[] {
  return windows.reduce<SoakWindow[]>((merged, window) => {
    const last = merged.at(-1)
    if (last !== undefined && saySame(last, window)) merged[merged.length - 1] = { ...window, start: last.start }
    else merged.push(window)
    return merged
  }, [])
}

function saySame(a: SoakWindow, b: SoakWindow): boolean {
  if (a.end !== b.start || a.measurements.length !== b.measurements.length) return false
  return a.measurements.every(({ check, outcome }, i) => {
    const other = b.measurements[i]
    return outcome !== 'Fail' && other?.check === check && other.outcome === outcome
  })
}
