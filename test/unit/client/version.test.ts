import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { VERSION } from '../../../src/client/version.ts'

test('the version that members report is the version of the package', () => {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../../../package.json'), 'utf8')) as {
    version: string
  }
  expect(VERSION).toBe(manifest.version)
})
