import { collectionPath, describeRequest, objectPath, withQuery } from '../../../src/kube/paths.ts'
import { DEPLOYMENTS, NAMESPACES, PODS, apiVersionOf } from '../../../src/kube/resources.ts'
import { objectKey, parseKey } from '../../../src/kube/types.ts'

describe('paths', () => {
  it.each([
    ['the core group has its own root', collectionPath(PODS, 'a'), '/api/v1/namespaces/a/pods'],
    ['other groups live under /apis', collectionPath(DEPLOYMENTS, 'a'), '/apis/apps/v1/namespaces/a/deployments'],
    ['no namespace means all of them', collectionPath(PODS), '/api/v1/pods'],
    ['cluster-scoped types have no namespace', collectionPath(NAMESPACES, 'a'), '/api/v1/namespaces'],
    ['an object', objectPath(PODS, { namespace: 'a', name: 'p' }), '/api/v1/namespaces/a/pods/p'],
    ['a subresource', objectPath(PODS, { namespace: 'a', name: 'p' }, 'status'), '/api/v1/namespaces/a/pods/p/status'],
    ['a name cannot leave its segment', objectPath(NAMESPACES, { name: '../x?y' }), '/api/v1/namespaces/..%2Fx%3Fy'],
    ['parameters that are not set are left out', withQuery('/x', { a: '1', b: undefined, c: '' }), '/x?a=1'],
    ['a path without parameters stays as it is', withQuery('/x', { a: undefined }), '/x'],
    ['selectors are escaped', withQuery('/x', { l: 'a=b,c' }), '/x?l=a%3Db%2Cc'],
    ['a description leaves the query out', describeRequest('GET', '/x?continue=long'), 'GET /x'],
    ['apiVersion of the core group', apiVersionOf(PODS), 'v1'],
    ['apiVersion of another group', apiVersionOf(DEPLOYMENTS), 'apps/v1'],
  ])('%s', (_, made, expected) => {
    expect(made).toBe(expected)
  })

  it.each([
    ['an empty name', { namespace: 'a', name: '' }],
    ['an empty namespace', { namespace: '', name: 'p' }],
    ['a missing namespace', { name: 'p' }],
  ])('%s is refused: a delete would hit the whole collection', (_, ref) => {
    expect(() => objectPath(PODS, ref)).toThrow(TypeError)
  })
})

describe('keys', () => {
  it.each([
    ['ns/name', { namespace: 'ns', name: 'name' }],
    ['name', { name: 'name' }],
  ])('%s names its object and back', (key, ref) => {
    expect(objectKey(ref)).toBe(key)
    expect(parseKey(key)).toEqual(ref)
  })
})
