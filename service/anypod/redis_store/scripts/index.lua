-- The sessions of one subject: `a` by their last activity, `x` by when they are forgotten.

local TOUCH_MS = 60000 -- activity is recorded to the minute
local SLACK_MS = 120000 -- a session stays here that much longer than itself: its activity comes late

-- Something of another type in place of the index is as good as none.
local function clear_foreign(...)
  for _, key in ipairs({ ... }) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'zset' and kind ~= 'none' then
      redis.call('DEL', key)
    end
  end
end

local function forget_expired(active, expiry, now)
  local gone = redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, 1000)
  if #gone > 0 then
    redis.call('ZREM', active, unpack(gone))
    redis.call('ZREM', expiry, unpack(gone))
  end
end

local function record(active, expiry, session, now, life_ms)
  redis.call('ZADD', active, now, session)
  redis.call('ZADD', expiry, now + life_ms, session)
  local last = redis.call('ZRANGE', expiry, -1, -1, 'WITHSCORES')[2]
  redis.call('PEXPIREAT', active, last)
  redis.call('PEXPIREAT', expiry, last)
end

-- KEYS: a, x. ARGV: session, ttl_ms, how many there may be. "+" reserved, "=" was there.
register('reserve', function(keys, args)
  local active, expiry, session, ttl_ms, most = keys[1], keys[2], args[1], tonumber(args[2]), tonumber(args[3])
  local now = now_ms()
  clear_foreign(active, expiry)
  forget_expired(active, expiry, now)
  if redis.call('ZSCORE', active, session) then
    return '='
  end
  if redis.call('ZCARD', active) >= most then
    return '!quota_exceeded the subject has as many sessions as it may'
  end
  record(active, expiry, session, now, ttl_ms + math.floor(ttl_ms / REFRESH_SHARE) + SLACK_MS)
  return '+'
end)

-- KEYS: a, x. ARGV: session.
register('touch', function(keys, args)
  local active, expiry, session = keys[1], keys[2], args[1]
  clear_foreign(active, expiry)
  local now, last, until_ms = now_ms(), redis.call('ZSCORE', active, session), redis.call('ZSCORE', expiry, session)
  if last and until_ms and now - last >= TOUCH_MS then
    record(active, expiry, session, now, until_ms - last)
  end
  return '+'
end)

-- KEYS: a, x. ARGV: session.
register('release', function(keys, args)
  clear_foreign(keys[1], keys[2])
  redis.call('ZREM', keys[1], args[1])
  redis.call('ZREM', keys[2], args[1])
  return '+'
end, { 'allow-oom' })

-- KEYS: a, x. ARGV: before_ms ("": now), limit. Pairs of session and activity, the latest first.
register('list', function(keys, args)
  local active, expiry, before, limit = keys[1], keys[2], args[1], args[2]
  clear_foreign(active, expiry)
  forget_expired(active, expiry, now_ms())
  return redis.call('ZREVRANGEBYSCORE', active, before == '' and '+inf' or '(' .. before, '-inf', 'WITHSCORES', 'LIMIT', 0, limit)
end, { 'allow-oom' })
