-- Housekeeping of one session: forget ids, end parts, fold, trim, and say how far appends may go before the next round, and when
-- there will be something to do again.

local TIDY_EVENTS = 32 -- events between two rounds within appends
local IDS_MIN = 64 -- ids remembered however old: the contract's dedup window
local IDS_A_ROUND = 96 -- ids looked at in a round within appends: three for each new one, so that it catches up
local IDS_A_CALL = 1024 -- and in a round that was asked for
local SAMPLES = 5 -- nodes of a stream that are looked at to tell its size: a fixed cost, whatever it holds
local LOOK_LATE_MS = 60000 -- that a look at open parts may be late: the calendar asks for one within the age that ends a part
local COMPACT_FIELDS_MAX = 256 -- of a hash that is written anew: 64 ids, and what else a session has
local TRIM_A_STEP = 256 -- entries read at once to find where to trim
local MARK_SHARE = 32 -- marks of where the log stood are this share of retain_ms apart: an event may be kept so much longer
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

-- The parts without those whose time has come, the first seq that must stay, whether any came, and when the next one ended.
local function kept_parts(parts, class, head, now)
  local kept, bound, is_due, next_ended = {}, head + 1, false, nil
  for item in string.gmatch(parts, '%S+') do
    local first, ended = string.match(item, '^(%d+):(%d+)$')
    if ended and now - ended >= class.fold_after_ms then
      is_due = true
    else
      kept[#kept + 1] = ' ' .. item
      bound = math.min(bound, tonumber(first or string.match(item, '=(%d+)$')))
      next_ended = ended and math.min(next_ended or math.huge, ended) or next_ended
    end
  end
  return table.concat(kept), bound, is_due, next_ended
end

-- Drop the deltas below `bound`; the seq of the last one that went, if any.
local function fold(deltas, bound)
  local last = redis.call('XREVRANGE', deltas, bound - 1, '-', 'COUNT', 1)[1]
  if last then
    redis.call('XTRIM', deltas, 'MINID', '=', bound)
    return string.match(last[1], '^%d+')
  end
end

-- Where the log stood when, " seq:ms": the marks from `retain_ms` ago on, and the seq of the last one before. The time is Redis' own: that
-- of events is their replica's.
local function marks_at(marks, class, head, now)
  local list, gone = {}, nil
  for seq, ms in string.gmatch(marks, '(%d+):(%d+)') do
    list[#list + 1] = { seq = tonumber(seq), ms = tonumber(ms) }
  end
  if head > 0 and (#list == 0 or list[#list].seq < head) then
    local before = list[#list - 1]
    local is_close = before and now - before.ms < class.retain_ms / MARK_SHARE
    list[is_close and #list or #list + 1] = { seq = head, ms = now }
  end
  local kept, first_ms = {}, nil
  for _, mark in ipairs(list) do
    if now - mark.ms >= class.retain_ms then
      gone = mark.seq
    else
      kept[#kept + 1], first_ms = ' ' .. mark.seq .. ':' .. mark.ms, first_ms or mark.ms
    end
  end
  return table.concat(kept), gone, first_ms
end

-- The seq of the last durable event that is beyond the number that the class retains, if any.
local function last_beyond(log, class)
  local surplus = class.retain_events and redis.call('XLEN', log) - class.retain_events or 0
  local last, start = nil, '-'
  while surplus > 0 do
    local entries = redis.call('XRANGE', log, start, '+', 'COUNT', math.min(surplus, TRIM_A_STEP))
    if #entries == 0 then
      return last
    end
    surplus, last = surplus - #entries, tonumber(string.match(entries[#entries][1], '^%d+'))
    start = '(' .. entries[#entries][1]
  end
  return last
end

-- The seq of the last durable event up to `seq`, if any.
local function last_until(log, seq)
  local found = redis.call('XREVRANGE', log, seq, '-', 'COUNT', 1)[1]
  return found and tonumber(string.match(found[1], '^%d+'))
end

-- Trim what is beyond the number retained or was there at `old_seq`; the oldest seq that is left, if any went.
local function trim(log, deltas, class, old_seq)
  local last = math.max(last_beyond(log, class) or 0, old_seq and last_until(log, old_seq) or 0)
  if last > 0 then
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
local function quota_left(log, deltas, class)
  local is_trimmed = class.retain_events and class.retain_events <= class.events_max
  local events = is_trimmed and math.huge or class.events_max - redis.call('XLEN', log)
  local bytes = class.bytes_max and class.bytes_max - stored_bytes(log, deltas) or math.huge
  return events, class.deltas_max - redis.call('XLEN', deltas), bytes
end

-- A small hash is a list that is searched from its beginning: with a table's worth of ids in it, it must be a table.
local function make_table(meta)
  for _, size in ipairs(TABLE_SIZES) do
    redis.call('HSET', meta, FIELD.filler, string.rep(FIELD.filler, size))
    if redis.call('OBJECT', 'ENCODING', meta) == 'hashtable' then
      return
    end
  end
end

-- Up to which seq an append needs none of the checks, which is past the head but for the first event and in a closed log.
-- `known`: what it was so far, which holds until it is nearly reached: to ask how much memory a stream takes costs as much as an append.
local function next_check(log, deltas, class, head, known)
  if head == 0 then
    return 0
  end
  if known >= head + TIDY_EVENTS then
    return known
  end
  local events, held, bytes = quota_left(log, deltas, class)
  return head + math.max(0, math.min(events, held, math.floor(bytes / (class.event_bytes or 1))))
end

-- When there will be something to do, of the times that come up; never before a second has passed.
local function earliest(now, ...)
  local found = math.huge
  for _, ms in ipairs({ ... }) do
    found = ms and math.min(found, math.max(ms, now + 1000)) or found
  end
  return found < math.huge and found or nil
end

-- `part_open_ms`: shorter than the class's, when there are too many parts. When it is to come again, nil: not before the next append.
local function tidy(meta, log, deltas, now, ids_most, part_open_ms)
  local m = redis.call('HMGET', meta, FIELD.class, FIELD.head, FIELD.parts, FIELD.next_id, FIELD.closed, FIELD.filler, FIELD.has_deltas, FIELD.marks, FIELD.looked_at, FIELD.check_at)
  repair(meta, log, deltas, m[2], m[7])
  local class, head, first_id = class_of(m[1]), tonumber(string.match(m[2], '^%d+')), tonumber(m[4])
  local next_id = forget_ids(meta, class, first_id, head, now, ids_most)
  local set = { FIELD.next_id, next_id }
  local since_look = now - (m[9] or 0)
  local is_steady = since_look >= 0 and since_look <= 2 * class.part_open_ms + LOOK_LATE_MS
  local open, next_old = end_old_parts(meta, m[3], math.min(part_open_ms or math.huge, class.part_open_ms), now, is_steady)
  if next_old then
    set[#set + 1], set[#set + 2] = FIELD.looked_at, now
  end
  local parts, bound, is_due, next_ended = kept_parts(open, class, head, now)
  if parts ~= m[3] then
    set[#set + 1], set[#set + 2] = FIELD.parts, parts
  end
  local folded = is_due and fold(deltas, bound)
  if folded then
    set[#set + 1], set[#set + 2] = FIELD.folded, folded
  end
  local first_mark = nil
  if class.retain_events or class.retain_ms then
    local old_seq, marks
    if class.retain_ms then
      marks, old_seq, first_mark = marks_at(m[8] or '', class, head, now)
      set[#set + 1], set[#set + 2] = FIELD.marks, marks
    end
    local oldest = trim(log, deltas, class, old_seq)
    if oldest then
      set[#set + 1], set[#set + 2] = FIELD.oldest, oldest
    end
  end
  set[#set + 1], set[#set + 2] = FIELD.check_at, m[5] and 0 or next_check(log, deltas, class, head, tonumber(m[10] or 0))
  redis.call('HSET', meta, unpack(set))
  set_guard(meta)
  if not m[6] and head >= TIDY_EVENTS then
    make_table(meta)
  end
  if next_id - first_id >= ids_most then
    return now -- more ids may be due than one round looks at
  end
  return earliest(now, next_id <= head - IDS_MIN and now + class.dedup_ms, next_old or false,
    next_ended and next_ended + class.fold_after_ms or false, first_mark and first_mark + class.retain_ms or false)
end

-- Whether there was a round, because one is due between the two heads.
local function tidy_between(keys, before, head, now)
  if before % TIDY_EVENTS + head - before < TIDY_EVENTS then
    return false
  end
  tidy(keys[1], keys[2], keys[3], now, IDS_A_ROUND)
  return true
end

-- A session that rests: its hash is written anew, without the table's empty places and with the times of its ids in one field.
-- Redis does not shrink a hash within a call, and the next round of an append makes it a table again.
local function compact(meta)
  local m = redis.call('HMGET', meta, FIELD.filler, FIELD.next_id, FIELD.head, FIELD.expires_at)
  if not m[1] or redis.call('HLEN', meta) > COMPACT_FIELDS_MAX then
    return
  end
  local first, head = tonumber(m[2]), tonumber(string.match(m[3], '^%d+'))
  local all, kept, came = redis.call('HGETALL', meta), {}, {}
  for i = 1, #all, 2 do
    local seq = string.match(all[i], '^#(%d+)$')
    if seq then
      came[tonumber(seq)] = all[i + 1]
    elseif all[i] ~= FIELD.filler then
      kept[#kept + 1], kept[#kept + 2] = all[i], all[i + 1]
    end
  end
  local latest_ms, ids = 0, {}
  for seq = first, head do
    if came[seq] then
      local ms, some = string.match(came[seq], '^(%d+)(.+)$')
      latest_ms, ids[#ids + 1] = math.max(latest_ms, ms), some
    end
  end
  if #ids > 0 then
    kept[#kept + 1], kept[#kept + 2] = '#' .. first, string.format('%d', latest_ms) .. table.concat(ids)
  end
  redis.call('UNLINK', meta)
  redis.call('HSET', meta, unpack(kept))
  redis.call('PEXPIREAT', meta, m[4])
end

-- KEYS: m, l, d, h. ARGV: the session's name on the calendar, when its turn was, as `due` said ("": it was not asked). "+" and in how many
-- milliseconds it is to come again, "+-1": not before the next append.
register('tidy', function(keys, args)
  local name, turn, now = args[1], args[2], now_ms()
  local m = fields_of(keys[1], FIELD.prefix, FIELD.format)
  if not may_write(m[2]) then
    return NEWER
  end
  local due = m[1] and tidy(keys[1], keys[2], keys[3], now, IDS_A_CALL)
  if m[1] and not due then
    compact(keys[1])
  end
  put_on_calendar(keys[4], name, turn, due)
  return '+' .. (due and due - now or -1)
end, { 'allow-oom' })
