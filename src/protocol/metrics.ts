/** Names that the client exports and the operator's checks read. */

/** Gauge: epoch of the routing that a client process runs, by `migration`. It is there from the first document on. */
export const CLIENT_EPOCH = 'keyshift_client_epoch'

/** Value of the label workspace_id that the workspaces share which have no series of their own. */
export const OTHER_WORKSPACES = 'other'
