/** A replica that does nothing but compete: `elector-process.ts <kubeconfig> <identity>`. Says what happens, one line each. */
import { createKubeClient } from '../../../src/kube/client.ts'
import { connect } from '../../../src/kube/connection.ts'
import { LeaderElector } from '../../../src/kube/lease.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { watchShutdown } from '../../../src/runtime/shutdown.ts'

const [path = '', identity = ''] = process.argv.slice(2)
const connection = connect({ from: 'file', path })
const shutdown = watchShutdown({ process })
const elector = new LeaderElector({
  client: createKubeClient(connection),
  clock: systemClock,
  identity,
  lease: { namespace: 'default', name: 'keyshift' },
  leaseDurationMs: 3000,
  renewDeadlineMs: 2000,
  retryPeriodMs: 400,
  onStartedLeading: () => console.log('leading'),
  onLost: (reason) => {
    console.log('lost', reason)
    process.exit(3)
  },
  onHolder: (holder) => console.log('holder', holder),
})
console.log('competing')
await elector.run(shutdown.signal)
connection.close()
console.log('stopped')
