#!lua flags=allow-oom
-- Raises min_epoch, never lowers it.
-- KEYS 1 fence
-- ARGV 1 epoch
-- Answers the fence that stands now, decimal text
--- @include "lib/fence"
local fence = read_fence(KEYS[1])
-- Written also where it stands already: WAIT waits only for what its own connection wrote.
redis.call('SET', KEYS[1], (fence == nil or fence < tonumber(ARGV[1])) and ARGV[1] or redis.call('GET', KEYS[1]))
return redis.call('GET', KEYS[1])
