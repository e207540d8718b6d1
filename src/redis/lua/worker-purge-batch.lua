#!lua flags=allow-oom
--- Deletes the well-formed target keys of one batch. A key whose value names another workspace is not ours and stays.
--- KEYS[1] fence, KEYS[2] record, KEYS[3] work hash.
--- ARGV[1] config as JSON, ARGV[2] COUNT, ARGV[3] budget in microseconds, ARGV[4] rate.
--- Answers { 'OK', looked at, microseconds, pass, done, total }, { 'ENDED' } (a whole pass deleted nothing), { 'DONE' },
--- { 'STALE_RECORD', why } or { 'NOT_ALLOWED', why } (nothing was done).
--- Side effects: target keys, the work hash.
--- @include "lib/worker-names"
--- @include "lib/worker-value"
--- @include "lib/worker-pass"
local answer = open_pass({ 'passDeleted' }, { 'deleted' })
if answer then return answer end

each_key(function(key)
  local name, inner, at = classify(key)
  if name ~= 'target' then return end
  local _, stored = job_at(key)
  if stored ~= ids_of(inner, at) then return end
  redis.call('UNLINK', key)
  count('passDeleted')
  pass.totals.deleted = pass.totals.deleted + 1
end)

return close_pass('passDeleted')
