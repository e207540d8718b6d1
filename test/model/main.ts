/**
 * The model by hand: `node test/model/main.ts` prints every counterexample, `... wide` explores the larger scopes,
 * `... <words>` prints the counterexamples whose name has these words.
 */
import { LIMITS, NEGATIVES, ROWS, SCOPES, WIDE_SCOPES } from './cases.ts'
import { ALL_RULES, without } from './rules.ts'
import { exploreProtocol, withRow } from './support.ts'

const words = process.argv.slice(2).join(' ')
const [first, ...rest] = process.argv.slice(2)
const named = Object.entries(first === 'wide' ? WIDE_SCOPES : first === 'scopes' ? SCOPES : {})
const scopes = Object.fromEntries(named.filter(([name]) => name.includes(rest.join(' '))))
for (const [name, scope] of Object.entries(scopes)) {
  const started = Date.now()
  const { result, counterexample } = exploreProtocol(scope)
  console.log(
    `${name}: ${result.states} states, ${result.steps} steps, depth ${result.depth}, ${Date.now() - started} ms`,
  )
  if (counterexample !== '') {
    console.log(counterexample)
    process.exitCode = 1
  }
}
if (first !== 'wide' && first !== 'scopes') {
  const show = (name: string, counterexample: () => string): void => {
    if (name.includes(words)) console.log(`\n# ${name}\n${counterexample()}`)
  }
  for (const [name, { off, scope }] of Object.entries(NEGATIVES))
    show(name, () => exploreProtocol(scope, without(...off)).counterexample)
  for (const [name, { phase, change, scope }] of Object.entries(ROWS))
    show(name, () =>
      withRow(phase, change, () => exploreProtocol(scope).counterexample || 'BackfillVerify is never done'),
    )
  for (const [name, { scope }] of Object.entries(LIMITS))
    show(`limit: ${name}`, () => exploreProtocol(scope, ALL_RULES).counterexample)
}
