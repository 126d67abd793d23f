-- The calendar of housekeeping: one sorted set for each partition, of the sessions by when something is to be done for them. Whichever
-- replica asks does it; what a replica has taken and not done comes up again.

local CALENDAR_MS = 30 * 86400000 -- how long a calendar outlives the last session that was put on it
local TURN_MS = 120000 -- what was taken comes up again after this; longer than any session is put off by an append

-- Something of another type in its place is as good as none.
local function clear_calendar(calendar)
  local kind = redis.call('TYPE', calendar).ok
  if kind ~= 'zset' and kind ~= 'none' then
    redis.call('UNLINK', calendar)
  end
end

-- A `turn` that is over: next at `due`, or never, unless another call has put the session on the calendar in the meantime.
-- Without a turn: at `due`, unless it comes up earlier.
local function put_on_calendar(calendar, name, turn, due)
  clear_calendar(calendar)
  if turn ~= '' then
    if redis.call('ZSCORE', calendar, name) ~= turn then
      return
    end
    redis.call('ZREM', calendar, name)
  end
  if due then
    redis.call('ZADD', calendar, 'LT', string.format('%d', due), name)
    redis.call('PEXPIRE', calendar, CALENDAR_MS)
  end
end

-- KEYS: h. ARGV: the session's name, in how many milliseconds.
register('schedule', function(keys, args)
  put_on_calendar(keys[1], args[1], '', now_ms() + args[2])
  return '+'
end)

-- KEYS: h. ARGV: how many at most. Of the sessions whose time has come the names, each with its turn.
register('due', function(keys, args)
  clear_calendar(keys[1])
  local now, taken = now_ms(), { '+' }
  local turn = string.format('%d', now + TURN_MS)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', keys[1], '-inf', now, 'LIMIT', 0, args[1])) do
    redis.call('ZADD', keys[1], turn, name)
    taken[#taken + 1], taken[#taken + 2] = name, turn
  end
  return taken
end, { 'allow-oom' })
