#!lua flags=allow-oom
--- Compares the two keys of each job of one batch. No key but the work hash is written.
--- config.direction 'TargetToLegacy': each target key against its legacy key. 'Both': each legacy key against its
--- target, and for each target key whether a legacy key has it as its target.
--- KEYS[1] fence, KEYS[2] record, KEYS[3] work hash.
--- ARGV[1] config as JSON, ARGV[2] COUNT, ARGV[3] budget in microseconds, ARGV[4] rate.
--- Answers { 'OK', looked at, microseconds, pass, done, total }, { 'ENDED' }, { 'DONE' },
--- { 'STALE_RECORD', why } or { 'NOT_ALLOWED', why } (nothing was done).
--- @include "lib/worker-names"
--- @include "lib/worker-value"
--- @include "lib/worker-compare"
--- @include "lib/worker-pass"
local answer = open_pass({ 'compared', 'missing', 'different', 'orphan', 'malformed', 'foreign' }, {})
if answer then return answer end

local both = config.direction == 'Both'

local function found(sort, key, why)
  count(sort)
  sample(sort, key, why)
end

local function compare(key, legacy, legacy_kind, target, target_kind)
  count('compared')
  local differs = difference(legacy, legacy_kind, target, target_kind)
  if differs then found('different', key, 'different ' .. differs) end
end

local function visit_legacy(key, job)
  local kind, workspace, why = job_at(key)
  if kind == 'none' then return end
  if not workspace then return found('malformed', key, why) end
  local target = target_key(workspace, job)
  local target_kind = redis.call('TYPE', target).ok
  if target_kind == 'none' then return found('missing', key, 'no target key') end
  compare(key, key, kind, target, target_kind)
end

local function visit_target(key, workspace, job)
  local legacy = legacy_key(job)
  local legacy_kind, legacy_workspace = job_at(legacy)
  if both and legacy_workspace == workspace then return end -- compared from the legacy side
  local kind, stored = job_at(key)
  if kind == 'none' then return end
  if stored ~= workspace then return found('foreign', key, 'its ' .. config.field .. ' is another one') end
  if legacy_kind == 'none' then return found('orphan', key, 'no legacy key') end
  if legacy_workspace ~= workspace then return found('different', key, 'the legacy key names no such workspace') end
  compare(key, legacy, legacy_kind, key, kind)
end

each_key(function(key)
  local name, detail, at = classify(key)
  if name == 'target' then return visit_target(key, ids_of(detail, at)) end
  if not both then return end
  if name == 'misnamed' then return found('malformed', key, detail) end
  if name == 'legacy' then return visit_legacy(key, detail) end
end)

return close_pass(nil)
