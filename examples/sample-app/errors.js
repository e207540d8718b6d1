/** HTTP status of each error code of the Keyshift client. Codes that are not here are faults: 500. */
const STATUS = {
  INVALID_ID: 400,
  INVALID_ARGUMENT: 400,
  WORKSPACE_MISMATCH: 400,
  JOB_EXISTS: 409,
  CONFLICT: 409,
  OPERATION_REUSED: 409,
  OCCUPIED: 409,
  // Nothing was done within the deadline: the caller may send it again.
  NOT_READY: 503,
  STALE_EPOCH: 503,
  REFUSED: 503,
  WRONG_PASSWORD: 503,
  NOT_PRIMARY: 503,
  // It was done once or not at all, which the answer says: the caller must look before it repeats a write.
  UNKNOWN_OUTCOME: 504,
}

export function answerFor(error) {
  const status = error.status ?? STATUS[error.code] ?? 500
  const headers = status === 503 ? { 'retry-after': '1' } : {}
  const outcome = error.code === 'UNKNOWN_OUTCOME' && { outcome: 'unknown' }
  return { status, headers, body: { error: error.code ?? 'ERROR', ...outcome, message: error.message } }
}
