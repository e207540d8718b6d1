import { UsageError, readOptions } from '../../../demo/options.ts'

it.each([
  { when: 'nothing is given', args: [], options: { command: 'up', short: false, keep: false, context: undefined } },
  { when: 'down is given', args: ['down'], options: { command: 'down' } },
  { when: 'help is asked for', args: ['up', '--help'], options: { command: 'help' } },
  { when: 'a sabotage is named', args: ['--sabotage', 'leak', '--short'], options: { sabotage: 'leak', short: true } },
  { when: 'it is to break itself', args: ['--break', '--name', 'mine'], options: { breaks: true, name: 'mine' } },
  {
    when: 'a cluster is named',
    args: ['up', '--context', 'kind', '--image', 'r.example/keyshift:1', '--redis-image', 'r.example/redis:7'],
    options: { context: 'kind', images: { keyshift: 'r.example/keyshift:1', redis: 'r.example/redis:7' } },
  },
])('reads the command line when $when', ({ args, options }) => {
  expect(readOptions(args)).toMatchObject(options)
})

it.each([
  { when: 'the command is unknown', args: ['sideways'], message: /give up or down/ },
  { when: 'the sabotage is unknown', args: ['--sabotage', 'fire'], message: /lost, stale, leak/ },
  { when: 'a cluster is named without an image', args: ['--context', 'kind'], message: /--image REF/ },
  { when: 'an image is named without a cluster', args: ['--image', 'x'], message: /--context NAME/ },
  {
    when: 'a cluster that is not ours is to be broken',
    args: ['--context', 'kind', '--image', 'x', '--break'],
    message: /its own local cluster only/,
  },
  { when: 'a cluster has two names', args: ['--context', 'kind', '--image', 'x', '--name', 'y'], message: /--name/ },
  { when: 'an option is unknown', args: ['--fast'], message: /--fast/ },
])('refuses it when $when, and says what to give', ({ args, message }) => {
  expect(() => readOptions(args)).toThrow(UsageError)
  expect(() => readOptions(args)).toThrow(message)
})
