import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import { LEASES } from '../../../src/kube/resources.ts'
import type { Lease } from '../../../src/kube/types.ts'
import { START_LIMIT_MS, startTestCluster, until } from './control-plane.ts'
import type { TestCluster } from './control-plane.ts'

jest.setTimeout(60_000)

const ref = { namespace: 'default', name: 'keyshift' }
let cluster: TestCluster
const replicas: Replica[] = []
beforeAll(async () => (cluster = await startTestCluster()), START_LIMIT_MS)
afterEach(async () => {
  for (const replica of replicas.splice(0)) replica.process.kill('SIGKILL')
  await cluster.client.delete(LEASES, ref)
})
afterAll(() => cluster.stop())

interface Replica {
  readonly process: ChildProcess
  readonly lines: string[]
  readonly says: (line: string) => Promise<void>
  readonly exitCode: Promise<number | null>
}

function startReplica(identity: string): Replica {
  const program = join(import.meta.dirname, 'elector-process.ts')
  const child = spawn(process.execPath, ['--no-warnings', program, cluster.kubeconfigPath, identity], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  child.stdout.on('data', (text: Buffer) => lines.push(...text.toString().trim().split('\n')))
  const exitCode = new Promise<number | null>((resolve) => child.on('close', resolve))
  const replica = { process: child, lines, exitCode, says: (line: string) => until(() => lines.includes(line)) }
  replicas.push(replica)
  return replica
}

const transitions = async () => (await cluster.client.get<Lease>(LEASES, ref)).spec?.leaseTransitions

async function startTwo(): Promise<[Replica, Replica]> {
  const a = startReplica('a')
  await a.says('leading')
  const b = startReplica('b')
  await b.says('holder a')
  return [a, b]
}

describe('two replicas on a real API server', () => {
  it('the other one leads after the leader was killed', async () => {
    const [a, b] = await startTwo()
    expect(b.lines).not.toContain('leading')
    a.process.kill('SIGKILL')
    await b.says('leading')
    expect(await transitions()).toBe(1)
  })

  it('a leader gives the lease back when it is told to stop', async () => {
    const a = startReplica('a')
    await a.says('leading')
    a.process.kill('SIGTERM')
    expect(await a.exitCode).toBe(0)
    expect(a.lines.at(-1)).toBe('stopped')
    expect((await cluster.client.get<Lease>(LEASES, ref)).spec).toMatchObject({ leaseTransitions: 0 })
    expect((await cluster.client.get<Lease>(LEASES, ref)).spec?.holderIdentity).toBeUndefined()
    await startReplica('b').says('leading')
    expect(await transitions()).toBe(1)
  })

  it('a leader that was frozen while another took over ends when it wakes', async () => {
    const [a, b] = await startTwo()
    a.process.kill('SIGSTOP')
    await b.says('leading')
    a.process.kill('SIGCONT')
    expect(await a.exitCode).toBe(3)
    expect(a.lines.at(-1)).toBe('lost not renewed for 2000 ms')
    expect((await cluster.client.get<Lease>(LEASES, ref)).spec?.holderIdentity).toBe('b')
  })
})
