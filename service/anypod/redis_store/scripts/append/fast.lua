-- The fast paths: plain events, or one delta of an open part, in as few calls as there can be. Anything out of the ordinary
-- goes the long way, within the same call.

local ITEM = 5 -- arguments of a plain draft, of which the last is its shape
local GUARDS_MAX = 4096 -- kept taken apart: about 2 MiB; beyond it all are forgotten

local HEAD, GUARD = FIELD.head, FIELD.guard
local guards, guards_count = {}, 0

local last_ms, last_text = nil, nil

-- A number of milliseconds as text, made once for all events of its millisecond: to make it takes longer than to look it up.
local function text_of(ms)
  if ms ~= last_ms then
    last_ms, last_text = ms, string.format('%d', ms)
  end
  return last_text
end

-- The values of `g`, which few appends change: taken apart once, because that costs as much as reading them one by one.
local function guard_of(text)
  local guard = guards[text]
  if not guard then
    if guards_count == GUARDS_MAX then
      guards, guards_count = {}, 0
    end
    local check, moves, prefix, owner = string.match(text, '^(%S+) (%S+) (%S+) (.+)$')
    guard = { check = check + 0, moves = moves + 0, prefix = prefix, incarnation = string.sub(prefix, -6), owner = owner }
    guards[text], guards_count = guard, guards_count + 1
  end
  return guard
end

-- The head, the time and the prefix of cursors: nothing when the long way is to be gone.
local function opening(entry, text, owner, count)
  if not text then
    return nil
  end
  local guard, head, now = guard_of(text), string.sub(entry, 1, -12) + 0, now_ms() -- a tag has ten digits
  if head + count > guard.check or now >= guard.moves or (owner ~= guard.owner and owner ~= '-') then
    return nil
  end
  if guard.incarnation == incarnation(now) then
    return head, now, guard.prefix
  end
end

-- Whether the stream has taken the entry. One that is gone is not made anew: the long way knows what that means.
local function add(stream, entry, frame)
  return type(redis.pcall('XADD', stream, 'NOMKSTREAM', entry, 'f', frame)) == 'string'
end

-- Put the event behind the head: its seq, entry id, cursor and frame. Nothing when the stream has not taken it.
local function put(stream, head, prefix, tag, body)
  local seq, entry, cursor = mint(head, prefix, tag)
  local frame = frame_of(seq, cursor, body)
  if add(stream, entry, frame) then
    return seq, entry, cursor, frame
  end
end

-- KEYS: as of `append`. ARGV: channel, owner ("-": any), id, digest, tag, body. "+cursor", or what `append` answers.
register('append_one', function(keys, args)
  local call, meta, id, body = redis.call, keys[1], args[3], args[6]
  local field = '.' .. id
  local m = redis.pcall('HMGET', meta, HEAD, GUARD, field)
  local head, now, prefix, seq, entry, cursor, frame
  if not m[3] then
    head, now, prefix = opening(m[1], m[2], args[2], 1)
  end
  if head then
    seq, entry, cursor, frame = put(keys[2], head, prefix, args[5], body)
  end
  if not seq then
    return append(keys, { args[1], args[2], 'all', '', '', id, args[4], args[5], body, '' })
  end
  call('HSET', meta, HEAD, entry, field, entry .. ' ' .. args[4], '#' .. seq, text_of(now) .. ' ' .. id)
  call('SPUBLISH', args[1], frame)
  tidy_between(keys, head, head + 1, now)
  return '+' .. cursor
end)

-- KEYS: the same. ARGV: the same, then part, and turn and fence if there is a turn.
register('append_delta', function(keys, args)
  local call, meta, id, body, part, turn, fence = redis.call, keys[1], args[3], args[6], args[7], args[8], args[9]
  local field, span_field = '.' .. id, '@' .. (turn or '') .. '/' .. part
  local m = redis.pcall('HMGET', meta, HEAD, GUARD, field, span_field, '!' .. (turn or ''))
  local head, now, prefix, seq, entry, cursor, frame
  if not m[3] and m[4] and (not turn or m[5] == fence) then
    head, now, prefix = opening(m[1], m[2], args[2], 1)
  end
  if head and is_stream(keys[2]) then -- whatever is lost with it must not take deltas along that came later
    seq, entry, cursor, frame = put(keys[3], head, prefix, args[5], body)
  end
  if not seq then
    local shape = turn and { 'td', turn, fence, part } or { 'd', part }
    return append(keys, { args[1], args[2], 'all', '', '', id, args[4], args[5], body, unpack(shape) })
  end
  local span = string.match(m[4], '^%d+ ') .. seq
  call('HSET', meta, HEAD, entry, field, entry .. ' ' .. args[4], '#' .. seq, text_of(now) .. ' ' .. id, span_field, span)
  call('SPUBLISH', args[1], frame)
  tidy_between(keys, head, head + 1, now)
  return '+' .. cursor
end)

-- What to ask for, the ids last, and their count; nothing when a draft is not plain.
local function plain_fields(args)
  local fields, count = { HEAD, GUARD }, 0
  for at = 6, #args, ITEM do
    if args[at + ITEM - 1] ~= '' then
      return nil
    end
    count = count + 1
    fields[count + 2] = '.' .. args[at]
  end
  return fields, count
end

-- Plain events of several requests, none of which the log has: what `append` answers, nothing when the long way is to be gone.
local function append_plain(keys, args)
  local fields, count = plain_fields(args)
  if not fields then
    return nil
  end
  local call, m = redis.call, redis.pcall('HMGET', keys[1], unpack(fields))
  for i = 3, count + 2 do
    if m[i] then
      return nil
    end
  end
  local head, now, prefix = opening(m[1], m[2], args[2], count)
  if not head then
    return nil
  end
  local log, at, entry = keys[2], 6, nil
  local set, ids, frames, verdicts = {}, {}, {}, {}
  for i = 1, count do
    local seq, cursor
    seq, entry, cursor = mint(head + i - 1, prefix, args[at + 2])
    local frame = frame_of(seq, cursor, args[at + 3])
    if not add(log, entry, frame) then
      return nil -- at the first one already: nothing is written yet
    end
    set[2 * i - 1], set[2 * i] = fields[i + 2], entry .. ' ' .. args[at + 1]
    ids[i], frames[i], verdicts[i] = args[at], frame, '+' .. cursor
    at = at + ITEM
  end
  call('HSET', keys[1], HEAD, entry, '#' .. head + 1, text_of(now) .. ' ' .. table.concat(ids, ' '), unpack(set))
  for i = 1, count do
    call('SPUBLISH', args[1], frames[i])
  end
  tidy_between(keys, head, head + count, now)
  return verdicts
end

-- KEYS and ARGV as told at `append`.
register('append', function(keys, args)
  return args[3] == 'each' and append_plain(keys, args) or append(keys, args)
end)
