import { jest } from '@jest/globals'
import { App, runOperator, START_LIMIT_MS, startWorld, until, type World } from './world.ts'

jest.setTimeout(60_000)
let world: World
beforeAll(async () => (world = await startWorld()), START_LIMIT_MS)
afterAll(() => world.stop())

it('publishes epoch 1', async () => {
  const app = await App.create(world, 'smoke')
  const running = runOperator(world)
  try {
    await app.apply(app.spec())
    await app.join(await app.startPod())
    await until(async () => (await app.document())?.epoch === 1)
  } finally {
    console.log(running.lines.join('\n'))
    await running.stop()
    console.log(JSON.stringify((await app.resource()).status, null, 1))
  }
})
