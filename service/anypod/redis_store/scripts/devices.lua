-- Devices: which attachment of a device is the newest. `k` holds the newest claim of each place: its number.

local CLAIMS_MAX = 10000 -- places remembered in one session; beyond it the oldest claim is forgotten
local CLAIMS_MS = 300000 -- longer than any heartbeat's interval, in which each replica asks what it has missed

-- KEYS: m, k. ARGV: place. The claim's number: larger than all before it in the session, and after a loss of data too, because it is
-- the time in microseconds.
register('claim', function(keys, args)
  local meta, claims, place = keys[1], keys[2], args[1]
  local m = fields_of(meta, FIELD.prefix, FIELD.claim)
  if not m[1] then
    return '!no_such_session'
  end
  local time = redis.call('TIME')
  local number = string.format('%.0f', math.max(time[1] * 1000000 + time[2], tonumber(m[2] or 0) + 1))
  if is_foreign(redis.pcall('ZADD', claims, number, place)) then
    redis.call('UNLINK', claims) -- something of another type: as good as nothing
    redis.call('ZADD', claims, number, place)
  end
  redis.call('HSET', meta, FIELD.claim, number)
  if redis.call('ZCARD', claims) > CLAIMS_MAX then
    redis.call('ZREM', claims, redis.call('ZRANGE', claims, 0, 0)[1])
  end
  redis.call('PEXPIRE', claims, CLAIMS_MS)
  return '+' .. number
end, { 'allow-oom' })

-- KEYS: k. ARGV: place, number. Forget this claim, unless there is a newer one.
register('withdraw', function(keys, args)
  if tonumber(redis.call('ZSCORE', keys[1], args[1]) or 0) == tonumber(args[2]) then
    redis.call('ZREM', keys[1], args[1])
  end
  return '+'
end, { 'allow-oom' })
