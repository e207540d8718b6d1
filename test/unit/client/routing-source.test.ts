import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { RoutingSource } from '../../../src/client/routing-source.ts'
import { makeDocument, renderDocument, ROUTING_FILE } from '../../../src/protocol/document.ts'
import { routingState } from '../../../src/protocol/phases.ts'

test('a read asked for while another is under way sees what was written before it was asked for', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'keyshift-source-'))
  const seen: number[] = []
  const source = new RoutingSource({
    dir,
    // Nothing but what is asked for reads.
    pollMs: 2 ** 30,
    refuse: () => undefined,
    onDocument: ({ epoch }) => seen.push(epoch),
    onProblem: () => undefined,
  })
  const input = {
    name: 'm',
    canaryBy: 'Job',
    legacy: 'ai:job:{job_id}',
    target: 'ai:job:{workspace_id}:{job_id}',
    workspaceField: 'workspace_id',
    queues: [],
  } as const
  const publish = (epoch: number): void => {
    writeFileSync(join(dir, 'next'), renderDocument(makeDocument(input, routingState('Legacy', 0, 0), epoch)))
    renameSync(join(dir, 'next'), join(dir, ROUTING_FILE))
  }
  try {
    for (let epoch = 2; epoch <= 200; epoch += 2) {
      publish(epoch - 1)
      const first = source.readNow()
      // Somewhere within that read.
      for (let turns = epoch % 5; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve))
      publish(epoch)
      await source.readNow()
      expect(seen.at(-1)).toBe(epoch)
      await first
    }
  } finally {
    source.close()
    rmSync(dir, { recursive: true, force: true })
  }
})
