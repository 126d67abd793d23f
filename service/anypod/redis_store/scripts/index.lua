-- The sessions of one subject: `a` by their last activity, `x` by when they are forgotten, `b` the bytes of each as last measured.
-- Of a tenant `x` and `b` alone, of its subjects. Both keep more in `b`, under names that no session and no subject has:
--   +  the sum                #  deletions that are remembered, "day count"                ?  when ghosts were last looked for

local TOUCH_MS = 60000 -- activity is recorded to the minute
local SLACK_MS = 120000 -- a session stays here that much longer than itself: its activity comes late
local DAY_MS = 86400000
local CHECK_MS = 60000 -- between two looks for ghosts; and a creation is over after that time, or never comes

-- Something of another type in place of the index is as good as none.
local function clear_foreign(bytes, ...)
  for _, key in ipairs({ ... }) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'zset' and kind ~= 'none' then
      redis.call('UNLINK', key)
    end
  end
  local kind = redis.call('TYPE', bytes).ok
  if kind ~= 'hash' and kind ~= 'none' then
    redis.call('UNLINK', bytes)
  end
end

-- This member has so many bytes from now on.
local function weigh(bytes, member, held)
  local before = tonumber(redis.call('HGET', bytes, member) or 0)
  if held == before then
    return -- nothing is made that would have to expire
  end
  if held == 0 then
    redis.call('HDEL', bytes, member)
  else
    redis.call('HSET', bytes, member, held)
  end
  redis.call('HINCRBY', bytes, '+', held - before)
end

local function forget(active, expiry, bytes, members)
  if active then
    redis.call('ZREM', active, unpack(members))
  end
  redis.call('ZREM', expiry, unpack(members))
  for _, member in ipairs(members) do
    weigh(bytes, member, 0)
  end
end

local function forget_expired(active, expiry, bytes, now)
  local gone = redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, 1000)
  if #gone > 0 then
    forget(active, expiry, bytes, gone)
  end
end

local function live_until(key, until_ms, now)
  if redis.call('PTTL', key) < until_ms - now then
    redis.call('PEXPIREAT', key, until_ms)
  end
end

local function last_expiry(expiry)
  return redis.call('ZRANGE', expiry, -1, -1, 'WITHSCORES')[2] or 0
end

local function record(active, expiry, bytes, session, now, life_ms)
  redis.call('ZADD', active, now, session)
  redis.call('ZADD', expiry, now + life_ms, session)
  local last = last_expiry(expiry)
  redis.call('PEXPIREAT', active, last)
  redis.call('PEXPIREAT', expiry, last)
  live_until(bytes, tonumber(last), now)
end

-- Whether one more deletion of this day may leave a tombstone.
local function is_remembered(bytes, most, now)
  local today = math.floor(now / DAY_MS)
  local day, count = string.match(redis.call('HGET', bytes, '#') or '', '^(%d+) (%d+)$')
  count = tonumber(day) == today and count + 1 or 1
  redis.call('HSET', bytes, '#', today .. ' ' .. count)
  live_until(bytes, now + DAY_MS, now)
  return count <= most
end

-- Whether it is time to look for ghosts: what a lost reply has left here without a session. From now on it is not.
local function is_check_due(bytes, now)
  if now - (redis.call('HGET', bytes, '?') or 0) < CHECK_MS then
    return false
  end
  redis.call('HSET', bytes, '?', now)
  live_until(bytes, now + CHECK_MS, now)
  return true
end

-- KEYS: a, x, b. ARGV: session, ttl_ms, how many there may be. "+" reserved, "=" was there, "?" full, but there may be ghosts.
register('reserve', function(keys, args)
  local active, expiry, bytes, session, ttl_ms, most = keys[1], keys[2], keys[3], args[1], tonumber(args[2]), tonumber(args[3])
  local now = now_ms()
  clear_foreign(bytes, active, expiry)
  forget_expired(active, expiry, bytes, now)
  if redis.call('ZSCORE', active, session) then
    return '='
  end
  if redis.call('ZCARD', active) >= most then
    return is_check_due(bytes, now) and '?' or '!quota_exceeded the subject has as many sessions as it may'
  end
  record(active, expiry, bytes, session, now, ttl_ms + math.floor(ttl_ms / REFRESH_SHARE) + SLACK_MS)
  return '+'
end)

-- KEYS: a, x, b. ARGV: session ("": none), when it expires, its bytes. The bytes of all, when the last one is forgotten, and
-- whether it is time to look for ghosts.
register('touch', function(keys, args)
  local active, expiry, bytes, session, expires, held = keys[1], keys[2], keys[3], args[1], tonumber(args[2]), tonumber(args[3])
  local now = now_ms()
  clear_foreign(bytes, active, expiry)
  forget_expired(active, expiry, bytes, now)
  local last = session ~= '' and redis.call('ZSCORE', active, session)
  if last then
    if now - last >= TOUCH_MS then
      record(active, expiry, bytes, session, now, math.max(0, expires - now) + SLACK_MS)
    end
    weigh(bytes, session, held)
    live_until(bytes, tonumber(last_expiry(expiry)), now)
  end
  local is_due = session == '' and is_check_due(bytes, now)
  return { tonumber(redis.call('HGET', bytes, '+') or 0), tonumber(last_expiry(expiry)), is_due and 1 or 0 }
end)

-- KEYS: a, x, b. ARGV: how many deletions of a day are remembered ("": none was made), then sessions. The bytes that are left,
-- when the last one is forgotten, and whether the deletion is remembered.
register('release', function(keys, args)
  local now = now_ms()
  clear_foreign(keys[3], keys[1], keys[2])
  forget(keys[1], keys[2], keys[3], { unpack(args, 2) })
  local is_kept = args[1] == '' or is_remembered(keys[3], tonumber(args[1]), now)
  return { tonumber(redis.call('HGET', keys[3], '+') or 0), tonumber(last_expiry(keys[2])), is_kept and 1 or 0 }
end, { 'allow-oom' })

-- KEYS: x, b of a tenant. ARGV: subject ("": none), its bytes, when they are forgotten, how many deletions of a day are
-- remembered ("": none was made). The bytes of all, and whether the deletion is remembered.
register('tally', function(keys, args)
  local expiry, bytes, subject, held, last, most = keys[1], keys[2], args[1], tonumber(args[2]), tonumber(args[3]), args[4]
  local now = now_ms()
  clear_foreign(bytes, expiry)
  forget_expired(nil, expiry, bytes, now)
  if subject ~= '' and held > 0 and last > now then
    redis.call('ZADD', expiry, last, subject)
    local until_ms = tonumber(last_expiry(expiry))
    redis.call('PEXPIREAT', expiry, until_ms)
    weigh(bytes, subject, held)
    live_until(bytes, until_ms, now)
  elseif subject ~= '' then
    forget(nil, expiry, bytes, { subject })
  end
  local is_kept = most == '' or is_remembered(bytes, tonumber(most), now)
  return { tonumber(redis.call('HGET', bytes, '+') or 0), is_kept and 1 or 0 }
end, { 'allow-oom' })

-- KEYS: a, x, b. ARGV: before_ms ("": now), limit. Pairs of session and activity, the latest first.
register('list', function(keys, args)
  local active, expiry, bytes, before, limit = keys[1], keys[2], keys[3], args[1], args[2]
  clear_foreign(bytes, active, expiry)
  forget_expired(active, expiry, bytes, now_ms())
  return redis.call('ZREVRANGEBYSCORE', active, before == '' and '+inf' or '(' .. before, '-inf', 'WITHSCORES', 'LIMIT', 0, limit)
end, { 'allow-oom' })

-- KEYS: a, x, b. ARGV: limit. Sessions that have not been active for so long that their creation is over, the oldest first.
register('settled', function(keys, args)
  clear_foreign(keys[3], keys[1], keys[2])
  return redis.call('ZRANGEBYSCORE', keys[1], '-inf', now_ms() - CHECK_MS, 'LIMIT', 0, args[1])
end, { 'allow-oom' })
