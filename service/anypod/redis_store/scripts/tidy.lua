-- Housekeeping of one session: forget ids, fold, trim, and say how far appends may go before the next round.

local TIDY_EVENTS = 32 -- events between two rounds within appends
local IDS_MIN = 64 -- ids remembered however old: the contract's dedup window
local IDS_A_ROUND = 96 -- ids looked at in a round within appends: three for each new one, so that it catches up
local IDS_A_CALL = 1024 -- and in a round that was asked for
local SAMPLES = 5 -- nodes of a stream that are looked at to tell its size: a fixed cost, whatever it holds
local TRIM_A_STEP = 256 -- entries read at once to find where to trim
local TABLE_SIZES = { 65, 513, 4097 } -- bytes of the value that makes a hash a table, whatever the server's setting up to 4 KiB

-- The fields of the first `count` ids, added to `gone`; the ids behind them.
local function take_ids(ids, count, gone)
  local rest = ''
  for id in string.gmatch(ids, '%S+') do
    if count > 0 then
      gone[#gone + 1] = '.' .. id
    else
      rest = rest .. ' ' .. id
    end
    count = count - 1
  end
  return rest
end

local function forget_ids(meta, class, next_seq, head, now, most)
  local last = math.min(next_seq + most - 1, head - IDS_MIN)
  if last < next_seq then
    return next_seq
  end
  local oldest = redis.call('HGET', meta, '#' .. next_seq)
  if oldest and now - string.match(oldest, '^%d+') < class.dedup_ms then
    return next_seq -- nearly always: asked about alone, because none that came later is older
  end
  local fields = {}
  for seq = next_seq, last do
    fields[#fields + 1] = '#' .. seq
  end
  local gone = {}
  for i, item in ipairs(redis.call('HMGET', meta, unpack(fields))) do
    if item then
      local ms, ids = string.match(item, '^(%d+)(.+)$')
      if now - ms < class.dedup_ms then
        break
      end
      gone[#gone + 1] = fields[i]
      local rest = take_ids(ids, head - IDS_MIN - next_seq + 1, gone)
      if rest ~= '' then
        next_seq = head - IDS_MIN + 1
        redis.call('HSET', meta, '#' .. next_seq, ms .. rest)
        break
      end
    end
    next_seq = next_seq + 1
  end
  if #gone > 0 then
    redis.call('HDEL', meta, unpack(gone))
  end
  return next_seq
end

-- The parts without those whose time has come, the first seq that must stay, and whether any came.
local function kept_parts(parts, class, head, now)
  local kept, bound, is_due = {}, head + 1, false
  for item in string.gmatch(parts, '%S+') do
    local first, ended = string.match(item, '^(%d+):(%d+)$')
    if ended and now - ended >= class.fold_after_ms then
      is_due = true
    else
      kept[#kept + 1] = ' ' .. item
      bound = math.min(bound, tonumber(first or string.match(item, '=(%d+)$')))
    end
  end
  return table.concat(kept), bound, is_due
end

-- Drop the deltas below `bound`; the seq of the last one that went, if any.
local function fold(deltas, bound)
  local last = redis.call('XREVRANGE', deltas, bound - 1, '-', 'COUNT', 1)[1]
  if last then
    redis.call('XTRIM', deltas, 'MINID', '=', bound)
    return string.match(last[1], '^%d+')
  end
end

local function is_old(frame, from_ms)
  -- Nothing before it can look like it: a quote within a string is escaped.
  return tonumber(string.match(frame, ',"ts":(%d+)')) < from_ms
end

-- The seq of the last durable event that is beyond what the class retains, if any.
local function last_beyond(log, class, now)
  local surplus = class.retain_events and redis.call('XLEN', log) - class.retain_events or 0
  local from_ms = class.retain_ms and now - class.retain_ms or 0
  local last, start = nil, '-'
  while surplus > 0 or class.retain_ms do
    local entries = redis.call('XRANGE', log, start, '+', 'COUNT', TRIM_A_STEP)
    for _, entry in ipairs(entries) do
      if surplus <= 0 and not is_old(entry[2][2], from_ms) then
        return last
      end
      surplus = surplus - 1
      last = string.match(entry[1], '^%d+')
    end
    if #entries < TRIM_A_STEP then
      return last
    end
    start = '(' .. entries[#entries][1]
  end
  return last
end

local function trim(log, deltas, class, now)
  local last = last_beyond(log, class, now)
  if last then
    redis.call('XTRIM', log, 'MINID', '=', last + 1)
    redis.call('XTRIM', deltas, 'MINID', '=', last + 1)
    return last + 1
  end
end

-- What both streams hold of the server's memory, a little more than their events.
local function stored_bytes(log, deltas)
  local bytes = 0
  for _, key in ipairs({ log, deltas }) do
    bytes = bytes + (redis.call('MEMORY', 'USAGE', key, 'SAMPLES', SAMPLES) or 0)
  end
  return bytes
end

-- How many more durable events, deltas, and bytes of both the session may hold.
local function rooms(log, deltas, class)
  local is_trimmed = class.retain_events and class.retain_events <= class.events_max
  local events = is_trimmed and math.huge or class.events_max - redis.call('XLEN', log)
  local bytes = class.bytes_max and class.bytes_max - stored_bytes(log, deltas) or math.huge
  return events, class.deltas_max - redis.call('XLEN', deltas), bytes
end

-- A small hash is a list that is searched from its beginning: with a table's worth of ids in it, it must be a table.
local function make_table(meta)
  for _, size in ipairs(TABLE_SIZES) do
    redis.call('HSET', meta, '_', string.rep('_', size))
    if redis.call('OBJECT', 'ENCODING', meta) == 'hashtable' then
      return
    end
  end
end

-- Up to which seq an append needs none of the checks, which is past the head but for the first event and in a closed log.
local function next_check(log, deltas, class, head)
  if head == 0 then
    return 0
  end
  local events, held, bytes = rooms(log, deltas, class)
  return head + math.max(0, math.min(events, held, math.floor(bytes / (class.event_bytes or 1))))
end

local function tidy(meta, log, deltas, now, ids_most)
  local m = redis.call('HMGET', meta, 'K', 's', 'w', 'i', 'c', '_', 'D')
  mend(meta, log, deltas, m[2], m[7])
  local class, head = class_of(m[1]), tonumber(string.match(m[2], '^%d+'))
  local set = { 'i', forget_ids(meta, class, tonumber(m[4]), head, now, ids_most) }
  local parts, bound, is_due = kept_parts(m[3], class, head, now)
  if is_due then
    set[3], set[4] = 'w', parts
    local folded = fold(deltas, bound)
    if folded then
      set[5], set[6] = 'f', folded
    end
  end
  if class.retain_events or class.retain_ms then
    local oldest = trim(log, deltas, class, now)
    if oldest then
      set[#set + 1] = 'l'
      set[#set + 1] = oldest
    end
  end
  set[#set + 1] = 'q'
  set[#set + 1] = m[5] and 0 or next_check(log, deltas, class, head)
  redis.call('HSET', meta, unpack(set))
  set_guard(meta)
  if not m[6] and head >= TIDY_EVENTS then
    make_table(meta)
  end
end

-- Whether there was a round, because one is due between the two heads.
local function tidy_between(keys, before, head, now)
  if before % TIDY_EVENTS + head - before < TIDY_EVENTS then
    return false
  end
  tidy(keys[1], keys[2], keys[3], now, IDS_A_ROUND)
  return true
end

-- KEYS: m, l, d.
register('tidy', function(keys)
  if fields_of(keys[1], 'p')[1] then
    tidy(keys[1], keys[2], keys[3], now_ms(), IDS_A_CALL)
  end
  return '+'
end, { 'allow-oom' })
