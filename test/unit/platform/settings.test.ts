import { z } from 'zod'
import { integerText, logLevelText, portText, readSettings, SettingsError } from '../../../src/platform/settings.ts'

const shape = {
  ADDRESS: z.string(),
  PORT: portText.default(9090),
  LEVEL: logLevelText.default('info'),
  N: integerText(0, 5).optional(),
}

test('reads what is given and fills in the rest; an empty variable is absent', () => {
  expect(readSettings(shape, { ADDRESS: 'x', PORT: '80', OTHER: 'y', LEVEL: '' })).toEqual({
    ADDRESS: 'x',
    PORT: 80,
    LEVEL: 'info',
  })
})

test.each([
  [{}, 'ADDRESS is not set'],
  [{ ADDRESS: '' }, 'ADDRESS is not set'],
  [{ ADDRESS: 'x', PORT: '0' }, 'PORT: must be a whole number from 1 to 65535'],
  [{ ADDRESS: 'x', PORT: '65536' }, 'PORT: must be a whole number from 1 to 65535'],
  [{ ADDRESS: 'x', PORT: '8e3' }, 'PORT: must be a whole number'],
  [{ ADDRESS: 'x', PORT: ' 80' }, 'PORT: must be a whole number'],
  [{ ADDRESS: 'x', N: '6' }, 'N: must be a whole number from 0 to 5'],
  [{ ADDRESS: 'x', LEVEL: 'loud' }, 'LEVEL: must be one of error, warn, info, debug'],
])('%j is refused: %s', (env, message) => {
  expect(() => readSettings(shape, env)).toThrow(SettingsError)
  expect(() => readSettings(shape, env)).toThrow(message)
})

test('names every variable at fault at once', () => {
  expect(() => readSettings(shape, { PORT: 'x', N: 'y' })).toThrow(/ADDRESS is not set; PORT: .*; N: /)
})
