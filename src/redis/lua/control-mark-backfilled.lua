#!lua flags=allow-oom
-- Sets or takes away the mark of a completed backfill. The counter of fallback reads begins anew with a new mark.
-- KEYS 1 backfilled, 2 fallback counter
-- ARGV 1 '1' or '0'
-- Answers 1 where something changed, else 0
local there = redis.call('EXISTS', KEYS[1]) == 1
if ARGV[1] == '1' then
  if there then return 0 end
  redis.call('SET', KEYS[1], '1')
  redis.call('SET', KEYS[2], '0')
  return 1
end
redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[1])
