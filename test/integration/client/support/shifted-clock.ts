// Loaded before a client process: its wall clock is off by CLOCK_SHIFT_MS.
const shift = Number(process.env['CLOCK_SHIFT_MS'])
const real = Date.now.bind(Date)
const Real = Date
globalThis.Date = class extends Real {
  constructor(...args: [] | [number]) {
    if (args.length === 0) super(real() + shift)
    else super(...args)
  }
  static override now(): number {
    return real() + shift
  }
} as DateConstructor
