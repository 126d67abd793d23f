-- Sessions: made, read, ended, deleted; and the fences of their turns.

local TOMBSTONE_MS = 86400000 -- a day: how long the last owner is told that a session was deleted
local FENCES_MAX = 10000 -- turns of a session; events_max ends a log before
local STEP_FIRST = 16 -- entries asked for at once, as long as their size is unknown
local STEP_MAX = 64 -- and once it is known: what the server copies while it does nothing else

local SNAPSHOT = { FIELD.prefix, FIELD.head, FIELD.owner, FIELD.class_name, FIELD.closed, FIELD.terms, FIELD.version, FIELD.state, FIELD.metadata, FIELD.folded, FIELD.oldest, FIELD.expires_at, FIELD.has_deltas, FIELD.format }

-- What `read_codec.py` reads in this order: SNAPSHOT with the terms as the next event will find them and the marks that hold, in place
-- of `D` live, then how long it holds, now. And whether there are deltas. Nil when there is no session, or with it the refusal.
local function snapshot(keys, now)
  local live, m, has_deltas = keys[4], fields_of(keys[1], unpack(SNAPSHOT)), nil
  if not m[1] then
    return nil
  end
  if not may_read(m[14]) then
    return nil, NEWER
  end
  local head = tonumber(string.match(m[2], '^%d+'))
  m[6] = terms_at(m[6], head, incarnation(now))
  m[10], m[11], has_deltas = marks(keys[2], keys[3], head, { folded = m[10], oldest = m[11], had_deltas = m[13] })
  m[13] = live_of(live) or false
  m[14] = m[13] and redis.call('PTTL', live) or 0
  m[15] = now
  return m, has_deltas
end

-- KEYS: m, l, d, v, p. ARGV: owner, epoch, class, its numbers, ttl_ms, live_ms, state, live, metadata.
register('create', function(keys, args)
  local meta, live = keys[1], keys[4]
  local owner, epoch, class, numbers, ttl_ms, live_ms = args[1], args[2], args[3], args[4], args[5], args[6]
  local now = now_ms()
  local m = fields_of(meta, FIELD.prefix, FIELD.owner)
  if m[1] then
    local found, refusal = snapshot(keys, now)
    return m[2] ~= owner and '!no_such_session' or found and { '=', found } or refusal
  end
  redis.call('UNLINK', meta, keys[2], keys[3], live, keys[5])
  local term = '1' .. incarnation(now)
  redis.call('HSET', meta, FIELD.prefix, epoch .. '-' .. term, FIELD.head, '0-0', FIELD.check_at, 0, FIELD.terms, term .. ':1', FIELD.owner, owner, FIELD.class_name, class, FIELD.class, numbers,
    FIELD.version, 1, FIELD.state, args[7], FIELD.metadata, args[9], FIELD.folded, 0, FIELD.oldest, 1, FIELD.parts, '', FIELD.next_id, 1, FIELD.format, FORMAT)
  make_log(keys[2])
  set_expiry(meta, keys[2], keys[3], ttl_ms, now)
  if args[8] ~= NO_STATE then
    redis.call('SET', live, args[8], 'PX', live_ms)
  end
  return { '+', (snapshot(keys, now)) }
end)

-- What is missing: told as deleted to its last owner.
local function missing(meta)
  return { '!', fields_of(meta, FIELD.deleted_owner)[1] or false }
end

-- The first seq of the oldest open part, or the one after the head.
local function open_bound(meta, head)
  local bound = head + 1
  for first in string.gmatch(redis.call('HGET', meta, FIELD.parts), '=(%d+)') do
    bound = math.min(bound, tonumber(first))
  end
  return bound
end

-- A stream's frames by XRANGE or XREVRANGE, from `from` to `to`; their seqs stand in them. They end with the one with which they come
-- to `bytes_max`, and then it is told up to which seq they go.
local function range(command, key, from, to, limit, bytes_max)
  local frames, bytes, count = {}, 0, STEP_FIRST
  while limit > 0 do
    count = math.min(limit, count)
    local step = redis.call(command, key, from, to, 'COUNT', count)
    for i = 1, #step do
      local frame = step[i][2][2]
      frames[#frames + 1] = frame
      bytes = bytes + #frame
      if bytes >= bytes_max then
        return frames, tonumber(string.match(step[i][1], '^%d+'))
      end
    end
    if #step < count then
      return frames, false
    end
    from, limit = '(' .. step[count][1], limit - count
    count = math.min(STEP_MAX, math.ceil((bytes_max - bytes) * #frames / bytes))
  end
  return frames, false
end

-- The entry id at `seq` in the stream, if it is there.
local function entry_at(stream, seq)
  local found = redis.call('XRANGE', stream, seq, seq, 'COUNT', 1)[1]
  return found and found[1] or false
end

-- KEYS: m, l, d, v. ARGV: after ("": the head), limit, bytes_max, "fold" or "". What `read_codec.py` reads: the snapshot, the entry at
-- `after`, the frames of both streams, and up to which seq they go if the bytes ended them: it counts those of both together.
register('read', function(keys, args)
  local meta, log, deltas = keys[1], keys[2], keys[3]
  local after, limit, bytes_max, is_folded = args[1], tonumber(args[2]), tonumber(args[3]), args[4] == 'fold'
  local m, has_deltas = snapshot(keys, now_ms())
  if not m then
    return has_deltas or missing(meta)
  end
  local head = tonumber(string.match(m[2], '^%d+'))
  after = after == '' and head or tonumber(after)
  local from = after + 1
  if is_folded then
    local bound = open_bound(meta, head)
    local last = has_deltas and redis.call('XREVRANGE', deltas, bound - 1, '-', 'COUNT', 1)[1]
    m[10] = last and math.max(m[10], string.match(last[1], '^%d+')) or m[10]
    from = math.max(from, bound)
  end
  if after >= head or tonumber(m[11]) > head then
    return { '+', m, after == head and head > 0 and m[2], {}, {}, false }
  end
  local entry = after > 0 and (entry_at(log, after) or has_deltas and entry_at(deltas, after))
  local events, events_end = range('XRANGE', log, after + 1, head, limit + 1, bytes_max)
  if not has_deltas then
    return { '+', m, entry, events, {}, events_end }
  end
  local held, held_end = range('XRANGE', deltas, from, events_end or head, limit + 1, bytes_max)
  return { '+', m, entry, events, held, held_end or events_end }
end, { 'no-writes' })

-- KEYS: m, l. ARGV: before ("+": the end), limit, bytes_max. The newest durable frames first, and whether there are older ones.
register('history', function(keys, args)
  local limit = tonumber(args[2])
  local m = fields_of(keys[1], FIELD.prefix, FIELD.format)
  if not m[1] then
    return '!no_such_session'
  end
  if not may_read(m[2]) then
    return NEWER
  end
  if not is_stream(keys[2]) then
    return { '+', {}, 0 }
  end
  local frames, ending = range('XREVRANGE', keys[2], args[1], '-', limit + 1, tonumber(args[3]))
  local has_more = #frames > limit or ending and #redis.call('XREVRANGE', keys[2], ending - 1, '-', 'COUNT', 1) > 0
  if #frames > limit then
    frames[#frames] = nil
  end
  return { '+', frames, has_more and 1 or 0 }
end, { 'no-writes' })

-- KEYS: m. ARGV: channel, owner.
register('end', function(keys, args)
  local meta, channel, owner = keys[1], args[1], args[2]
  local m = fields_of(meta, FIELD.prefix, FIELD.head, FIELD.owner, FIELD.closed, FIELD.format)
  if not m[1] or (owner ~= '-' and owner ~= m[3]) then
    return '!no_such_session'
  end
  if not may_write(m[5]) then
    return NEWER
  end
  local cursor = cursor_at(m[1], m[2])
  if not m[4] then
    redis.call('HSET', meta, FIELD.closed, 1, FIELD.check_at, 0)
    set_guard(meta)
    redis.call('SPUBLISH', channel, '{"type":"n.closed","cursor":"' .. cursor .. '"}')
  end
  return '+' .. cursor
end, { 'allow-oom' })

-- KEYS: m, l, d. What its owner is charged with: the owner, when the keys expire, and the bytes of both streams. Nil: no session.
register('measure', function(keys)
  local m = fields_of(keys[1], FIELD.prefix, FIELD.owner, FIELD.expires_at)
  if not m[1] then
    return false
  end
  return { m[2], tonumber(m[3]), stored_bytes(keys[2], keys[3]) }
end, { 'no-writes' })

-- KEYS: m. What a deleted session has left for its owner is not kept.
register('forget_deleted', function(keys)
  local m = fields_of(keys[1], FIELD.prefix, FIELD.deleted_owner)
  if not m[1] and m[2] then
    redis.call('UNLINK', keys[1])
  end
  return '+'
end, { 'allow-oom' })

-- KEYS: m, l, d, v, p. ARGV: channel, owner. "+owner", or "=owner" of a session that was deleted already.
register('delete', function(keys, args)
  local meta, channel, owner = keys[1], args[1], args[2]
  local m = fields_of(meta, FIELD.prefix, FIELD.owner, FIELD.format, FIELD.deleted_owner)
  if not m[1] and m[4] and (owner == '-' or owner == m[4]) then
    return '=' .. m[4]
  end
  if not m[1] or (owner ~= '-' and owner ~= m[2]) then
    return '!no_such_session'
  end
  if not may_write(m[3]) then
    return NEWER -- it may have keys that this library does not know
  end
  redis.call('UNLINK', meta, keys[2], keys[3], keys[4], keys[5])
  redis.call('HSET', meta, FIELD.deleted_owner, m[2], FIELD.deleted_epoch, string.match(m[1], '^%w+'))
  redis.call('PEXPIRE', meta, TOMBSTONE_MS)
  redis.call('SPUBLISH', channel, '{"type":"n.deleted"}')
  return '+' .. m[2]
end, { 'allow-oom' })

-- KEYS: m, l, d. In how many milliseconds it expires, once that has been moved as an append moves it.
register('keep', function(keys)
  local meta, now = keys[1], now_ms()
  local m = fields_of(meta, FIELD.prefix, FIELD.move_at, FIELD.class, FIELD.format)
  if not m[1] then
    return '!no_such_session'
  end
  if not may_write(m[4]) then
    return NEWER
  end
  if now >= tonumber(m[2]) then
    set_expiry(meta, keys[2], keys[3], class_of(m[3]).ttl_ms, now)
    set_guard(meta)
  end
  return '+' .. (redis.call('HGET', meta, FIELD.expires_at) - now)
end)

-- KEYS: m. ARGV: turn. The parts that earlier attempts have open end with it: no worker can end them any more.
register('raise_fence', function(keys, args)
  local meta, field = keys[1], '!' .. args[1]
  local m = fields_of(meta, FIELD.prefix, FIELD.closed, FIELD.fences, field, FIELD.parts, FIELD.format)
  if not m[1] then
    return '!no_such_session'
  end
  if not may_write(m[6]) then
    return NEWER
  end
  if m[2] then
    return '!closed'
  end
  if not m[4] and tonumber(m[3] or 0) >= FENCES_MAX then
    return '!quota_exceeded the session has too many turns'
  end
  if not m[4] then
    redis.call('HINCRBY', meta, FIELD.fences, 1)
  end
  local scope = '@' .. args[1] .. '/'
  local parts, gone = end_those(m[5], function(name) return is_within(name, scope) end, now_ms())
  if #gone > 0 then
    redis.call('HSET', meta, FIELD.parts, parts)
    redis.call('HDEL', meta, unpack(fields_of_parts(gone)))
  end
  return '+' .. redis.call('HINCRBY', meta, field, 1)
end)
