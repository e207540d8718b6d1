#!lua
--- Makes the missing targets of one batch of legacy keys by COPY, which keeps value, type and expiry.
--- KEYS[1] fence, KEYS[2] record, KEYS[3] work hash; target names come from the values.
--- ARGV[1] config as JSON, ARGV[2] COUNT, ARGV[3] budget in microseconds, ARGV[4] rate, ARGV[5] run.
--- Answers { 'OK', looked at, microseconds, pass, done, total }, { 'ENDED' } (a whole pass copied nothing), { 'DONE' },
--- { 'STALE_RECORD', why } or { 'NOT_ALLOWED', why } (nothing was done).
--- Side effects: targets that were not there, the work hash. An existing target is never touched.
--- @include "lib/worker-names"
--- @include "lib/worker-value"
--- @include "lib/worker-pass"
local answer = open_pass({ 'passCopied', 'present', 'malformed' }, { 'copied' })
if answer then return answer end

each_key(function(key)
  local name, job = classify(key)
  if name == 'misnamed' then return count('malformed') end
  if name ~= 'legacy' then return end
  local kind, workspace = job_at(key)
  if kind == 'none' then return end
  if not workspace then return count('malformed') end
  if redis.call('COPY', key, target_key(workspace, job)) == 1 then
    count('passCopied')
    pass.totals.copied = pass.totals.copied + 1
  else
    count('present')
  end
end)

return close_pass('passCopied')
