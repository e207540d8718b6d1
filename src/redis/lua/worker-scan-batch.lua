#!lua flags=allow-oom
--- Classifies one batch of keys for preflight. No key but the work hash is written.
--- KEYS[1] fence, KEYS[2] record, KEYS[3] work hash.
--- ARGV[1] config as JSON, ARGV[2] COUNT, ARGV[3] budget in microseconds, ARGV[4] rate, ARGV[5] run.
--- Answers { 'OK', looked at, microseconds, pass, done, total }, { 'ENDED' }, { 'DONE' },
--- { 'STALE_RECORD', why } or { 'NOT_ALLOWED', why } (nothing was done).
--- @include "lib/worker-names"
--- @include "lib/worker-value"
--- @include "lib/worker-pass"
local answer = open_pass({ 'legacy', 'target', 'malformed', 'foreign', 'oversize', 'sampled', 'sampledBytes' }, {})
if answer then return answer end

local MEMORY_SAMPLE_EVERY = 50

local function malformed(key, why)
  count('malformed')
  sample('malformed', key, why)
end

each_key(function(key)
  local name, detail, at = classify(key)
  if name == 'misnamed' then return malformed(key, detail) end
  if name == 'other' then return end
  local kind, stored, why = job_at(key)
  if kind == 'none' then return end
  if name == 'target' then
    if stored == ids_of(detail, at) then return count('target') end
    count('foreign')
    return sample('foreign', key, why or 'looks like a target key, its ' .. config.field .. ' is another one')
  end
  if not stored then return malformed(key, why) end
  if pass.counts.legacy % MEMORY_SAMPLE_EVERY == 0 then
    count('sampled')
    count('sampledBytes', redis.call('MEMORY', 'USAGE', key))
  end
  count('legacy')
  local size, limit, unit
  if kind == 'hash' then
    size, limit, unit = redis.call('HLEN', key), config.maxFields, ' fields'
  else
    size, limit, unit = redis.call('STRLEN', key), config.maxBytes, ' bytes'
  end
  if size > limit then
    count('oversize')
    sample('oversize', key, size .. unit)
  end
end)

return close_pass(nil)
