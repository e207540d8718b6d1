#!lua flags=allow-oom
-- Everything that the operator looks at, as one moment.
-- KEYS 1 fence, 2 record, 3 members, 4 backfilled, 5 fallback counter, 6 illegal ids
-- ARGV 1 prefix of lease keys (their names come from the members: not in KEYS)
-- Answers { fence | false, record fields, { member id, record, lease | false, ... }, backfilled 0|1, fallback reads | false,
--           illegal id fields, TIME in ms, INFO server, INFO replication }
--- @include "lib/ours"
--- @include "lib/time"
local members = {}
local all = ours('hash', 'HGETALL', KEYS[3])
for i = 1, #all, 2 do
  members[#members + 1] = all[i]
  members[#members + 1] = all[i + 1]
  members[#members + 1] = ours('string', 'GET', ARGV[1] .. all[i])
end
return {
  ours('string', 'GET', KEYS[1]),
  ours('hash', 'HGETALL', KEYS[2]),
  members,
  redis.call('EXISTS', KEYS[4]),
  ours('string', 'GET', KEYS[5]),
  ours('hash', 'HGETALL', KEYS[6]),
  decimal(now_ms()),
  redis.call('INFO', 'server'),
  redis.call('INFO', 'replication'),
}
