#!lua
--- Puts right what verify would find among one batch of keys, in config.direction. Legacy is the truth: a target that is
--- missing or different becomes a copy of it, expiry included; one whose legacy key is not there, or names another
--- workspace, is taken away. What was in the place stays in Redis under config.kept for config.keepMs. Malformed and foreign
--- keys are never touched.
--- KEYS[1] fence, KEYS[2] record, KEYS[3] work hash; target names come from the values.
--- ARGV[1] config as JSON, ARGV[2] COUNT, ARGV[3] budget in microseconds, ARGV[4] rate, ARGV[5] run.
--- Answers { 'OK', looked at, microseconds, pass, done, total }, { 'ENDED' }, { 'DONE' },
--- { 'STALE_RECORD', why } or { 'NOT_ALLOWED', why } (nothing was done). Fails with NOPERM where the user lacks a right, at a
--- key that is as it was.
--- Side effects: target keys, kept copies, the work hash. No legacy key is written.
--- @include "lib/worker-findings"
--- @include "lib/worker-pass"
--- @include "lib/rights"
local answer = open_pass({ 'left' }, { 'copied', 'replaced', 'removed' })
if answer then return answer end

local now = now_ms()

-- The time in the name keeps what an earlier repair kept of the same key.
local function keep(target)
  local kept = config.kept .. decimal(now) .. ':' .. target
  local lacks = missing_right({
    { 'COPY', target, kept }, { 'PEXPIRETIME', target }, { 'PEXPIREAT', kept, '0' }, { 'UNLINK', target },
  })
  if lacks then error({ err = 'NOPERM the Redis user lacks the right to run ' .. lacks }) end
  redis.call('COPY', target, kept)
  local expiry, limit = redis.call('PEXPIRETIME', target), now + config.keepMs
  if expiry < 0 or expiry > limit then redis.call('PEXPIREAT', kept, decimal(limit)) end
end

local function put_right(as, key, why)
  pass.totals[as] = pass.totals[as] + 1
  sample(as, key, why)
end

local function leave(key, why)
  count('left')
  sample('left', key, why)
end

local function remove(key, why, target)
  keep(target)
  redis.call('UNLINK', target)
  put_right('removed', key, why)
end

local PUT_RIGHT = {
  missing = function(key, why, legacy, target)
    redis.call('COPY', legacy, target)
    put_right('copied', key, why)
  end,
  different = function(key, why, legacy, target)
    if is_ignored(target) then return leave(key, why .. ', and keys.ignore names the target key') end
    keep(target)
    redis.call('COPY', legacy, target, 'REPLACE')
    put_right('replaced', key, why)
  end,
  orphan = function(key, why, _, target) remove(key, why, target) end,
  misplaced = function(key, why, _, target) remove(key, why, target) end,
  unreadable = leave,
  malformed = leave,
  foreign = leave,
}
local on = {
  compared = function() end,
  found = function(sort, key, why, legacy, target) PUT_RIGHT[sort](key, why, legacy, target) end,
}

each_key(function(key) examine(key, on) end)

return close_pass(nil)
