-- What a session can still serve when one of its streams is gone, or when another program has put something else in its place.
--
-- The head, the terms and the ids stand in `m`, so the seqs go on and none ever gets another content. Without `l` nothing up to
-- the head can be served: it is trimmed, with the deltas among it. Without `d` alone the deltas up to the head are folded.

local function is_stream(key)
  return redis.call('TYPE', key).ok == 'stream'
end

-- The marks `folded` and `oldest` as they turn out to be, and whether there are deltas to be read.
local function marks(log, deltas, head, m)
  if not is_stream(log) then
    return m.folded, head + 1, false
  end
  local has_deltas = is_stream(deltas)
  if m.had_deltas and not has_deltas then
    return head, m.oldest, false
  end
  return m.folded, m.oldest, has_deltas
end

-- An empty log, so that it has its expiry from the beginning. Deltas many a session never has.
local function make_log(log)
  redis.call('XGROUP', 'CREATE', log, 'none', 0, 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', log, 'none')
end

-- Before anything is written to the streams: make them, and the marks, what `marks` says. Whether anything was amiss.
local function repair(meta, log, deltas, entry, had_deltas)
  local has_log, kind = is_stream(log), redis.call('TYPE', deltas).ok
  if has_log and kind == (had_deltas and 'stream' or 'none') then
    return false
  end
  local head = tonumber(string.match(entry, '^%d+'))
  redis.call('UNLINK', deltas)
  redis.call('HDEL', meta, FIELD.has_deltas)
  if has_log then
    redis.call('HSET', meta, FIELD.folded, head)
    return true
  end
  redis.call('UNLINK', log)
  make_log(log)
  redis.call('PEXPIREAT', log, redis.call('HGET', meta, FIELD.expires_at))
  redis.call('HSET', meta, FIELD.oldest, head + 1)
  return true
end
