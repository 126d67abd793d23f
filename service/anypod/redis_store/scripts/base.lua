-- What every function of the library stands on: time, incarnation, and how a session's fields are written.
--
-- A session's keys: `m` one hash with everything small, `l` the durable stream, `d` the deltas, `v` the live state, `w` presence,
-- `k` claims of devices.
-- Fields of `m`:
--   p  epoch and current term, the beginning of every cursor      s  the head's entry id, seq-tag
--   q  up to this seq an append needs no check of quotas           x  from this time on an append moves the expiry
--   X  when the keys expire                                        t  terms, "name:first_seq …"
--   o  owner                                                       k, K  the class, its name and its numbers
--   c  set when closed                                             z  set when deleted: the last owner
--   a  the newest claim of a device
--   v  version   S  state   M  metadata   f  folded   l  oldest    n, N  the last patch's id, and those of the last 32
--   w  parts, open " @turn/part=first" and ended " first:ended_ms" D  set when `d` exists
--   i  the first seq whose id may be forgotten next                F  how many fences there are
--   T  when the log stood where, " seq:ms", for a class with retain_ms
--   .id     digest and entry id of an event          #seq         when ids came, and those of one call, from this seq on
--   !turn   the turn's live fence                    @turn/part   first and last seq of an open part's deltas
--   &turn/part   of an open part: the last seq that housekeeping has seen, when it saw it first, and who opened the part
--   g  "q x p o", all that a fast path needs of them; not there before the first event nor in a closed log
--   L  when housekeeping last looked at open parts
--   format  "write" or "write read": which format a library must know to write here, and to read
--   _  a value long enough that the hash is a table

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

-- The cursor of an event that is in the log, from its entry id.
local function cursor_of(meta, entry)
  local fields = redis.call('HMGET', meta, 'p', 't')
  local seq = tonumber(string.match(entry, '^%d+'))
  local epoch, found = string.match(fields[1], '^%w+'), nil
  for name, first in string.gmatch(fields[2], '(%w+):(%d+)') do
    if not found or tonumber(first) <= seq then
      found = name
    end
  end
  return epoch .. '-' .. found .. '-' .. entry
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
  redis.call('HSET', meta, 'X', expires, 'x', expires - ttl_ms)
  redis.call('PEXPIREAT', meta, expires)
  redis.call('PEXPIREAT', log, expires)
  redis.call('PEXPIREAT', deltas, expires)
end

-- After q, x or p changed. A `g` that is behind only leads the long way, but none may outlive the end of the log.
local function set_guard(meta)
  local m = redis.call('HMGET', meta, 'q', 'x', 'p', 'o')
  if m[1] == '0' then
    redis.call('HDEL', meta, 'g')
  else
    redis.call('HSET', meta, 'g', table.concat(m, ' '))
  end
end
