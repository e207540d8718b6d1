import type { Decide } from './types.ts'

export const decide: Decide = (resource) => ({
  status: resource.status ?? {},
  actions: [],
  events: [],
  requeueAfterMs: 5000,
  wantsLive: false,
})
