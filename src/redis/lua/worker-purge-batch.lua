#!lua flags=allow-oom
--- Deletes the well-formed target keys of one batch. A key whose value names another workspace is not ours and stays.
--- config.copiesOnly: no run is known that made targets, so that a key may be a job whose id has the delimiter in it: what
--- goes is what equals its legacy key, where nothing is lost.
--- KEYS[1] fence, KEYS[2] record, KEYS[3] work hash.
--- ARGV[1] config as JSON, ARGV[2] COUNT, ARGV[3] budget in microseconds, ARGV[4] rate, ARGV[5] run.
--- Answers { 'OK', looked at, microseconds, pass, done, total }, { 'ENDED' } (a whole pass deleted nothing), { 'DONE' },
--- { 'STALE_RECORD', why } or { 'NOT_ALLOWED', why } (nothing was done).
--- Side effects: target keys, the work hash.
--- @include "lib/worker-names"
--- @include "lib/worker-value"
--- @include "lib/worker-compare"
--- @include "lib/worker-pass"
local answer = open_pass({ 'passDeleted' }, { 'deleted' })
if answer then return answer end

each_key(function(key)
  local name, inner, at = classify(key)
  if name ~= 'target' then return end
  local kind, stored = job_at(key)
  local workspace, job = ids_of(inner, at)
  if stored ~= workspace then return end
  if config.copiesOnly then
    local legacy = legacy_key(job)
    local legacy_kind, owner = job_at(legacy)
    if owner ~= workspace or difference(legacy, legacy_kind, key, kind) then return end
  end
  redis.call('UNLINK', key)
  count('passDeleted')
  pass.totals.deleted = pass.totals.deleted + 1
end)

return close_pass('passDeleted')
