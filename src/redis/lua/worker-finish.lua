#!lua flags=allow-oom
--- Writes how the work ended.
--- KEYS[1] fence, KEYS[2] record, KEYS[3] work hash.
--- ARGV[1] kind, ARGV[2] run, ARGV[3] 'done', 'failed' or 'refused', ARGV[4] the result as JSON, or one line that says why not;
--- for done also ARGV[5] lineage and ARGV[6] updatedAt of the work hash that the result was made from.
--- Answers 'OK', 'DONE' (a result is there already and stays), or 'NOT_ENDED' (done was claimed of a pass that has not
--- ended, as after a failover that took it back, or that was made again since; nothing was written), or 'NOT_OURS' (the name belongs to another kind, or to another run).
--- @include "lib/ours"
--- @include "lib/time"
local known = ours('hash', 'HMGET', KEYS[3], 'state', 'ended', 'done', 'kind', 'lineage', 'updatedAt', 'run')
if (known[4] and known[4] ~= ARGV[1]) or (known[7] and known[7] ~= ARGV[2]) then return 'NOT_OURS' end
if known[1] == 'done' then return 'DONE' end
local now = decimal(now_ms())
if ARGV[3] ~= 'done' then
  redis.call('HSET', KEYS[3], 'kind', ARGV[1], 'run', ARGV[2], 'state', ARGV[3], 'error', ARGV[4], 'updatedAt', now)
  return 'OK'
end
if known[2] ~= '1' or known[5] ~= ARGV[5] or known[6] ~= ARGV[6] then return 'NOT_ENDED' end
for _, field in ipairs(redis.call('HKEYS', KEYS[3])) do
  if string.sub(field, 1, 7) == 'sample:' then redis.call('HDEL', KEYS[3], field) end
end
redis.call('HSET', KEYS[3], 'state', 'done', 'result', ARGV[4], 'error', '', 'updatedAt', now, 'total', known[3])
return 'OK'
