-- What every function of the library stands on: time, incarnation, and how a session's fields are written.

local REPLID_MS = 50 -- an incarnation is asked for once in this time: INFO costs more than the rest of an append
local TERMS_MAX = 32 -- failovers that a cursor can look back on: the first and the latest 31
local REFRESH_SHARE = 16 -- the expiry moves when this share of the ttl has passed, so that most appends need not touch it
local NO_STATE = '{}'
local PART_OPEN_MS = 900000 -- of sessions whose class was written down before it said so itself
-- The format of `m`: sessions without a number have the first. Whatever older libraries may overlook needs no new number, and keeps
-- their syntax. A library that raises it deletes `g` as well: that is what the fast paths go by, which do not ask for the format.
local FORMAT = 1
local NEWER = '!unavailable the session was written by a newer version of anypod than this one'

local STEP_MS, CYCLE = 16000, 16777216 -- six hex digits of the time at which a process began: they come again after 8 years

local replid, replid_ms = nil, 0
local born = nil

local function register(name, callback, flags)
  redis.register_function({ function_name = name .. SUFFIX, callback = callback, flags = flags })
end

-- Whether the library is here, for who may not load it.
register('ready', function()
  return '+'
end, { 'no-writes' })

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Whether that was the answer because something of another type is there. Any other error is raised.
local function is_foreign(reply)
  if type(reply) == 'table' and reply.err then
    return string.find(reply.err, '^WRONGTYPE') ~= nil or error(reply)
  end
  return false
end

-- Fields of `m`. Something of another type in its place is no session: none of them is there.
local function fields_of(meta, ...)
  local m = redis.pcall('HMGET', meta, ...)
  return is_foreign(m) and {} or m
end

local function may_write(format)
  return not format or tonumber(string.match(format, '^%d+')) <= FORMAT
end

local function may_read(format)
  return not format or tonumber(string.match(format, '%d+$')) <= FORMAT
end

-- The live state, if there is one.
local function live_of(key)
  local text = redis.pcall('GET', key)
  return not is_foreign(text) and text or nil
end

-- Six hex digits that name the life of this server as the one that writes.
local function incarnation(now)
  if INCARNATION == 'process' then
    -- The memory of a library begins empty with each process, and is neither replicated nor saved.
    born = born or string.format('%06x', math.floor(now / STEP_MS) % CYCLE)
    return born
  end
  if now - replid_ms > REPLID_MS or now < replid_ms then
    local text = redis.call('INFO', 'replication')
    replid = string.sub(string.match(text, 'master_replid:(%x+)'), 1, 6)
    -- A replica's is its primary's, and would be wrong for the first moments after its promotion: it is never kept.
    replid_ms = string.find(text, 'role:master', 1, true) and now or 0
  end
  return replid
end

-- Whether the last term is of this life of the server. A library that came later to the same process has begun a later one: it counts
-- for the older library too, or the two would begin terms in turn while replicas of two versions serve.
local function is_of_this_life(last, current)
  if last == current then
    return true
  end
  return INCARNATION == 'process' and (tonumber(last, 16) - tonumber(current, 16)) % CYCLE < CYCLE / 4
end

-- The table of terms as the next event will find it, and that event's term.
local function terms_at(terms, seq, current)
  local last = string.match(terms, '(%w+):%d+$')
  if is_of_this_life(string.sub(last, -6), current) then
    return terms, last
  end
  local name = (tonumber(string.sub(last, 1, -7)) + 1) .. current
  local list = {}
  for term in string.gmatch(terms .. ' ' .. name .. ':' .. (seq + 1), '%S+') do
    list[#list + 1] = term
  end
  if #list > TERMS_MAX then
    table.remove(list, 2)
  end
  return table.concat(list, ' '), name
end

local function class_of(text)
  local numbers = {}
  for word in string.gmatch(text, '%S+') do
    numbers[#numbers + 1] = tonumber(word) or false
  end
  return {
    ttl_ms = numbers[1],
    live_ms = numbers[2],
    events_max = numbers[3],
    deltas_max = numbers[4],
    retain_events = numbers[5],
    retain_ms = numbers[6],
    fold_after_ms = numbers[7],
    dedup_ms = numbers[8],
    bytes_max = numbers[9], -- false in a session that is older than this bound
    event_bytes = numbers[10], -- the largest that an event may be
    part_open_ms = numbers[11] or PART_OPEN_MS,
  }
end

-- Never earlier than the ttl from now, and at most a sixteenth later.
local function set_expiry(meta, log, deltas, ttl_ms, now)
  local expires = now + ttl_ms + math.floor(ttl_ms / REFRESH_SHARE)
  redis.call('HSET', meta, FIELD.expires_at, expires, FIELD.move_at, expires - ttl_ms)
  redis.call('PEXPIREAT', meta, expires)
  redis.call('PEXPIREAT', log, expires)
  redis.call('PEXPIREAT', deltas, expires)
end

-- After q, x or p changed. A `g` that is behind only leads the long way, but none may outlive the end of the log.
local function set_guard(meta)
  local m = redis.call('HMGET', meta, FIELD.check_at, FIELD.move_at, FIELD.prefix, FIELD.owner)
  if m[1] == '0' then
    redis.call('HDEL', meta, FIELD.guard)
  else
    redis.call('HSET', meta, FIELD.guard, table.concat(m, ' '))
  end
end
