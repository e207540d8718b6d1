import { operatorSettings } from '../../../src/operator/settings.ts'

describe('settings', () => {
  it('have defaults for all but the image', () => {
    expect(operatorSettings({ KEYSHIFT_IMAGE: 'k:1' })).toMatchObject({
      image: 'k:1',
      namespaces: [],
      port: 8080,
      workers: 4,
      lease: 'keyshift-operator',
      pullPolicy: 'IfNotPresent',
    })
    expect(operatorSettings({ KEYSHIFT_IMAGE: 'k:1', KEYSHIFT_NAMESPACES: 'a, b,' }).namespaces).toEqual(['a', 'b'])
  })

  it('name each variable at fault', () => {
    expect(() => operatorSettings({ KEYSHIFT_PORT: 'x', KEYSHIFT_WORKERS: '0' })).toThrow(
      /KEYSHIFT_IMAGE is not set.*KEYSHIFT_PORT.*KEYSHIFT_WORKERS/,
    )
  })
})
