--- @include "lib/worker-names"
--- @include "lib/worker-value"
--- @include "lib/worker-compare"
-- What is amiss with the two keys of a job: what verify counts is what repair puts right.
-- on.found(sort, key, why, legacy, target), sort: 'missing' (no target), 'different' (both there, not equal), 'orphan' (no
-- legacy), 'misplaced' (legacy names another workspace), 'unreadable' (legacy names none), 'malformed', 'foreign'.
-- on.compared(): both keys of a job were compared.
local function compare(on, key, legacy, legacy_kind, target, target_kind)
  on.compared()
  local differs = difference(legacy, legacy_kind, target, target_kind)
  if differs then on.found('different', key, 'different ' .. differs, legacy, target) end
end

local function examine_legacy(on, key, job)
  local kind, workspace, why = job_at(key)
  if kind == 'none' then return end
  if not workspace then return on.found('malformed', key, why) end
  local target = target_key(workspace, job)
  local target_kind = redis.call('TYPE', target).ok
  if target_kind == 'none' then return on.found('missing', key, 'no target key', key, target) end
  compare(on, key, key, kind, target, target_kind)
end

local function examine_target(on, key, both, workspace, job)
  local legacy = legacy_key(job)
  local legacy_kind, legacy_workspace, fault = job_at(legacy)
  if both and legacy_workspace == workspace then return end -- compared from the legacy side
  local kind, stored = job_at(key)
  if kind == 'none' then return end
  if stored ~= workspace then return on.found('foreign', key, 'its ' .. config.field .. ' is another one') end
  if legacy_kind == 'none' then return on.found('orphan', key, 'no legacy key', legacy, key) end
  if not legacy_workspace then
    return on.found('unreadable', key, 'its legacy key is malformed: ' .. fault, legacy, key)
  end
  if legacy_workspace ~= workspace then
    return on.found('misplaced', key, 'the legacy key names no such workspace', legacy, key)
  end
  compare(on, key, legacy, legacy_kind, key, kind)
end

-- config.direction 'TargetToLegacy': each target key against its legacy key. 'Both': each legacy key against its target,
-- and for each target key whether a legacy key has it as its target.
local function examine(key, on)
  local both = config.direction == 'Both'
  local name, detail, at = classify(key)
  if name == 'target' then return examine_target(on, key, both, ids_of(detail, at)) end
  if not both then return end
  if name == 'misnamed' then return on.found('malformed', key, detail) end
  if name == 'legacy' then return examine_legacy(on, key, detail) end
end
