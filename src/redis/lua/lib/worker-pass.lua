--- @include "lib/fence"
--- @include "lib/time"
-- One batch of a pass over the keyspace. The whole state of a pass stands in the work hash and moves in the same
-- script as the work, so that a worker may be killed at any instruction, and several may run at once.
-- KEYS[1] fence, KEYS[2] record, KEYS[3] work hash; ARGV[2] COUNT of SCAN, ARGV[3] budget in microseconds, ARGV[4]
-- rate in keys a second that this worker measured, ARGV[5] run, which tells the Jobs of one name apart.
local pass

local function micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- Why this kind of work may not run now, as the answer of the script, or nil; and the record's epoch.
local function refusal()
  local record = ours('hash', 'HMGET', KEYS[2], 'phase', 'epoch')
  local epoch = tonumber(record[2] or '')
  if not record[1] or not epoch then
    -- Preflight may come before the first record.
    if config.kind == 'preflight' and not read_fence(KEYS[1]) then return nil, 0 end
    return { 'STALE_RECORD', 'the migration record is not there' }
  end
  local status, fence = fence_refusal(KEYS[1], epoch)
  if status == 'NO_FENCE' then return { 'STALE_RECORD', 'the record is at epoch ' .. epoch .. ' and there is no fence' } end
  if status then return { 'STALE_RECORD', 'the record is at epoch ' .. epoch .. ', below the fence ' .. fence } end
  for _, phase in ipairs(config.phases) do
    if phase == record[1] then return nil, epoch end
  end
  return { 'NOT_ALLOWED', config.kind .. ' is not allowed in phase ' .. record[1] }
end

local function identity()
  local info = redis.call('INFO', 'server', 'replication')
  return string.match(info, 'run_id:(%x+)') or '', string.match(info, 'master_replid:(%x+)') or ''
end

-- Reads where the pass stands. Returns an answer to give back at once, or nil.
-- counters: names of the counts that begin at 0 with each pass. totals: those that run through all passes.
local function open_pass(counters, totals)
  local began = micros()
  local refused, epoch = refusal()
  if refused then return refused end
  local run_id, lineage = identity()
  local known = ours('hash', 'HMGET', KEYS[3], 'kind', 'state', 'runId', 'lineage', 'pass', 'done', 'cursor', 'pending', 'ended', 'run', 'scope')
  if known[1] and known[1] ~= config.kind then
    return { 'NOT_ALLOWED', 'this name belongs to a Job of kind ' .. known[1] }
  end
  if known[10] and known[10] ~= ARGV[5] then return { 'NOT_ALLOWED', 'this name belongs to another run' } end
  if known[2] == 'done' then return { 'DONE' } end
  pass = {
    began = began, seen = 0, counts = {}, totals = {}, run_id = run_id, lineage = lineage,
    number = tonumber(known[5] or '1'), done = tonumber(known[6] or '0'), cursor = known[7] or '0',
  }
  -- A cursor is good only for the process that gave it, a pass only for one history of the data and one question.
  local scope = redis.sha1hex(ARGV[1])
  local restart = known[3] ~= run_id or known[4] ~= lineage or known[11] ~= scope
  if restart then
    pass.done, pass.cursor = 0, '0'
    redis.call('HSET', KEYS[3], 'epoch', decimal(epoch), 'run', ARGV[5], 'scope', scope)
    if not known[1] then redis.call('HSET', KEYS[3], 'startedAt', decimal(math.floor(began / 1000))) end
    for _, field in ipairs(redis.call('HKEYS', KEYS[3])) do
      if string.sub(field, 1, 7) == 'sample:' then redis.call('HDEL', KEYS[3], field) end
    end
  elseif known[9] == '1' then
    return { 'ENDED' }
  end
  local before = redis.call('HMGET', KEYS[3], unpack(counters))
  for i, name in ipairs(counters) do
    pass.counts[name] = restart and 0 or tonumber(before[i] or '0')
  end
  for _, name in ipairs(totals) do
    pass.totals[name] = tonumber(redis.call('HGET', KEYS[3], name) or '0')
  end
  if not restart and known[8] and known[8] ~= '' then pass.pending = cmsgpack.unpack(known[8]) end
  return nil
end

local function count(name, by)
  pass.counts[name] = pass.counts[name] + (by or 1)
end

-- Keeps the first samples of a sort in the work hash, a key once.
local function sample(sort, key, why)
  if (pass.counts[sort] or pass.totals[sort]) > config.maxSamples then return end
  redis.call('HSET', KEYS[3], 'sample:' .. sort .. ':' .. printable(key), why)
end

-- Calls visit(key) for the next keys until the time is used up; what is left over waits in the work hash.
local function each_key(visit)
  local keys = pass.pending
  if not keys then
    local page = redis.call('SCAN', pass.cursor, 'MATCH', config.match, 'COUNT', ARGV[2])
    pass.cursor, keys = page[1], page[2]
  end
  local budget = tonumber(ARGV[3])
  local stride, last = math.max(1, math.floor(tonumber(ARGV[2]) / 16)), micros()
  local next_look = stride
  pass.pending = nil
  for i, key in ipairs(keys) do
    visit(key)
    pass.seen = i
    if i >= next_look and i < #keys then
      local now = micros()
      if now - pass.began > budget then
        pass.pending = {}
        for k = i + 1, #keys do pass.pending[k - i] = keys[k] end
        break
      end
      -- Large values: look more often, at each key if need be.
      stride = math.max(1, math.min(stride * 2, math.floor(stride * budget / 8 / math.max(1, now - last))))
      last, next_look = now, i + stride
    end
  end
end

-- Share of the hash table that lies behind a SCAN cursor: its bits, read backwards, count up.
local function share_behind(cursor)
  local rest, weight, share = tonumber(cursor) or 0, 0.5, 0
  while rest > 0 do
    share = share + (rest % 2) * weight
    rest, weight = math.floor(rest / 2), weight / 2
  end
  return share
end

-- Writes where the pass stands and answers { 'OK', keys looked at, microseconds, pass, done, total } or { 'ENDED' }.
-- changed: name of the count that must be 0 at the end of the last pass; nil where one pass is enough.
local function close_pass(changed)
  pass.done = pass.done + pass.seen
  local total = pass.done + 1
  local share = share_behind(pass.cursor)
  if share > 0 then total = math.max(total, math.floor(pass.done / share)) end
  local whole = pass.cursor == '0' and not pass.pending
  local last = whole and (changed == nil or pass.counts[changed] == 0)
  if whole and not last then
    total = pass.done + 1
    pass.number, pass.done = pass.number + 1, 0
    for name in pairs(pass.counts) do pass.counts[name] = 0 end
  end
  local now = micros()
  local fields = {
    'kind', config.kind, 'state', 'running', 'error', '', 'runId', pass.run_id, 'lineage', pass.lineage,
    'cursor', pass.cursor, 'pending', pass.pending and cmsgpack.pack(pass.pending) or '', 'ended', last and '1' or '0',
    'pass', decimal(pass.number), 'done', decimal(pass.done), 'total', decimal(total), 'rate', ARGV[4],
    'updatedAt', decimal(math.floor(now / 1000)),
  }
  for _, group in ipairs({ pass.counts, pass.totals }) do
    for name, value in pairs(group) do
      fields[#fields + 1] = name
      fields[#fields + 1] = decimal(value)
    end
  end
  redis.call('HSET', KEYS[3], unpack(fields))
  if last then return { 'ENDED' } end
  return { 'OK', pass.seen, now - pass.began, pass.number, pass.done, total }
end
