import { trace as api, SpanKind, SpanStatusCode } from '@opentelemetry/api'
import type { ClientOptions } from '@keyshift/client'

const tracer = api.getTracer('jobs')

/** For `createKeyshiftClient({ ..., trace })`. */
export const trace: ClientOptions['trace'] = ({ name, workspaceId }) => {
  const attributes = { 'keyshift.workspace_id': workspaceId }
  const span = tracer.startSpan(`keyshift ${name}`, { kind: SpanKind.CLIENT, attributes }) // child of the span that is active
  return ({ outcome, error, epoch, retries }) => {
    if (outcome === 'EMPTY') return // a look at an empty queue: a span that does not end is not exported
    span.setAttributes({ 'keyshift.outcome': outcome, 'keyshift.epoch': epoch, 'keyshift.retries': retries })
    if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: outcome })
    span.end()
  }
}
