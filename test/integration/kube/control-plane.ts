import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crdYaml } from '../../../hack/generate/crd.ts'
import { startControlPlane } from '../../../hack/local/control-plane.ts'
import type { ControlPlane } from '../../../hack/local/control-plane.ts'
import { startChild } from '../../../hack/system/child.ts'
import type { Child } from '../../../hack/system/child.ts'
import { createKubeClient } from '../../../src/kube/client.ts'
import type { KubeClient } from '../../../src/kube/client.ts'
import { connect } from '../../../src/kube/connection.ts'
import type { Connection } from '../../../src/kube/connection.ts'

export interface TestCluster extends ControlPlane {
  readonly dir: string
  readonly connection: Connection
  readonly client: KubeClient
}

/** Building the binaries takes minutes, once; starting them seconds. */
export const START_LIMIT_MS = 900_000

/** A real API server of its own for one test file. */
export async function startTestCluster(apiServerArgs: readonly string[] = []): Promise<TestCluster> {
  const dir = mkdtempSync(join(tmpdir(), 'keyshift-kube-'))
  const plane = await startControlPlane({ dir, apiServerArgs })
  const connection = connect({ from: 'file', path: plane.kubeconfigPath }, 'keyshift-integration')
  return {
    ...plane,
    dir,
    connection,
    client: createKubeClient(connection),
    async stop() {
      connection.close()
      await plane.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Waits, without a limit of its own: jest's ends a test that waits for ever. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50))
}

/**
 * Installs the CRD and waits until its resources are served and kubectl knows of them. `kubectl wait` gives up at once on a
 * CRD that has no conditions yet.
 */
export async function installCrd({ kubectl }: Pick<ControlPlane, 'kubectl'>, yaml = crdYaml()): Promise<void> {
  await kubectl(['apply', '--server-side', '-f', '-'], { input: yaml })
  const served = ['get', '--raw', '/apis/keyshift.dev/v1alpha1/jobkeymigrations']
  await until(() =>
    kubectl(served).then(
      () => true,
      () => false,
    ),
  )
  const known = ['api-resources', '--api-group=keyshift.dev', '-o', 'name']
  await until(async () => (await kubectl(known)).includes('jobkeymigrations'))
}

/** Kills the API server; the returned function starts it again on the same port with the same data. */
export async function killApiServer(cluster: TestCluster): Promise<() => Child> {
  const [command = '', ...args] = readFileSync(`/proc/${cluster.apiServer.pid}/cmdline`, 'utf8')
    .split('\0')
    .slice(0, -1)
  await cluster.apiServer.stop(0)
  return () => {
    const { logFile } = cluster.apiServer
    return startChild({ name: 'kube-apiserver', command, args, logFile, diesWithParent: true })
  }
}
