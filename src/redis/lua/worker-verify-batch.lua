#!lua flags=allow-oom
--- Compares the two keys of each job of one batch, in config.direction. No key but the work hash is written.
--- KEYS[1] fence, KEYS[2] record, KEYS[3] work hash.
--- ARGV[1] config as JSON, ARGV[2] COUNT, ARGV[3] budget in microseconds, ARGV[4] rate, ARGV[5] run.
--- Answers { 'OK', looked at, microseconds, pass, done, total }, { 'ENDED' }, { 'DONE' },
--- { 'STALE_RECORD', why } or { 'NOT_ALLOWED', why } (nothing was done).
--- @include "lib/worker-findings"
--- @include "lib/worker-pass"
local answer = open_pass({ 'compared', 'missing', 'different', 'orphan', 'malformed', 'foreign' }, {})
if answer then return answer end

local COUNTED_AS = { misplaced = 'different', unreadable = 'different' }
local on = {
  compared = function() count('compared') end,
  found = function(sort, key, why)
    local counted = COUNTED_AS[sort] or sort
    count(counted)
    sample(counted, key, why)
  end,
}

each_key(function(key) examine(key, on) end)

return close_pass(nil)
