#!lua flags=allow-oom
-- Removes member records, and their leases; a process that lives registers again with its next renewal.
-- KEYS 1 members; then the lease keys
-- ARGV member ids, in the order of the lease keys
-- Answers the number of records removed
local removed = 0
for i, id in ipairs(ARGV) do
  removed = removed + redis.call('HDEL', KEYS[1], id)
  redis.call('DEL', KEYS[i + 1])
end
return removed
