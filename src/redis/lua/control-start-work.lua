#!lua
-- Readies the hash of a worker Job that is about to be made: what an earlier run left under its name goes, and the
-- checkpoint of the attempt before, which ended without a result, is taken over. Idempotent for one run.
-- KEYS 1 work hash, 2 work hash of the attempt before (the first again: none)
-- ARGV 1 run
-- Answers 1 where something changed, else 0
--- @include "lib/ours"
if ours('hash', 'HGET', KEYS[1], 'run') == ARGV[1] then return 0 end
local before = KEYS[2] ~= KEYS[1] and ours('hash', 'HGET', KEYS[2], 'state')
redis.call('DEL', KEYS[1])
if before and before ~= 'done' then redis.call('COPY', KEYS[2], KEYS[1]) end
redis.call('HSET', KEYS[1], 'run', ARGV[1], 'state', '', 'error', '', 'result', '')
return 1
