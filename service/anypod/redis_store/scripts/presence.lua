-- Presence: who is attached to a session. `w` holds one entry for each member, "life attachment json": a life is that of the replica
-- which keeps the entry, and ends for all its entries at once when the replica no longer says that it lives. A partition's lives are one
-- sorted set, by when they end.

local MEMBERS_MAX = 10000 -- entries in one session
local PRESENCE_MS = 90000 -- a session's entries are forgotten when no replica has renewed one for so long
local LIFE_MS = 10000 -- outlives two heartbeats of a replica that were missed
local DEAD_MS = 60000 -- a life that has ended is remembered for so long

-- The lives that hold, asked for one by one.
local function lives_at(lives, now)
  local known = {}
  return function(life)
    if known[life] == nil then
      local until_ms = redis.pcall('ZSCORE', lives, life)
      known[life] = not is_foreign(until_ms) and tonumber(until_ms or 0) > now
    end
    return known[life]
  end
end

local function extend(lives, life, now)
  if is_foreign(redis.pcall('ZADD', lives, now + LIFE_MS, life)) then
    redis.call('UNLINK', lives) -- something of another type: as good as nothing
    redis.call('ZADD', lives, now + LIFE_MS, life)
  end
  redis.call('PEXPIRE', lives, DEAD_MS)
end

-- One notice of what has changed. `origin`: the attachment that it tells of, "": several.
local function tell(channel, life, origin, changes)
  local parts = {}
  for name, entries in pairs(changes) do
    if #entries > 0 then
      parts[#parts + 1] = ',"' .. name .. '":[' .. table.concat(entries, ',') .. ']'
    end
  end
  if #parts > 0 then
    redis.call('SPUBLISH', channel, '{"type":"n.signal","is_presence":true,"life":"' .. life .. '"'
      .. (origin ~= '' and ',"origin":"' .. origin .. '"' or '') .. ',"frame":{"type":"presence"' .. table.concat(parts) .. '}}')
  end
end

-- KEYS: lives. ARGV: life. Whether it still held ("+" or "-"), and all that hold.
register('keep_life', function(keys, args)
  local lives, life, now = keys[1], args[1], now_ms()
  local is_alive = lives_at(lives, now)(life)
  extend(lives, life, now)
  local dead = redis.call('ZRANGEBYSCORE', lives, '-inf', now - DEAD_MS, 'LIMIT', 0, 100)
  if #dead > 0 then
    redis.call('ZREM', lives, unpack(dead))
  end
  local held = redis.call('ZRANGEBYSCORE', lives, '(' .. now, '+inf')
  table.insert(held, 1, is_alive and '+' or '-')
  return held
end, { 'allow-oom' })

-- KEYS: m, w, lives. ARGV: cursor, count. Some of the entries that hold, and where to go on: "0" at the end.
register('present', function(keys, args)
  if not fields_of(keys[1], FIELD.prefix)[1] then
    return '!no_such_session'
  end
  local is_alive, found = lives_at(keys[3], now_ms()), redis.pcall('HSCAN', keys[2], args[1], 'COUNT', args[2])
  if is_foreign(found) then
    return { '0' }
  end
  local held, flat = { found[1] }, found[2]
  for i = 2, #flat, 2 do
    if is_alive(string.match(flat[i], '^%S+')) then
      held[#held + 1], held[#held + 2] = flat[i - 1], flat[i]
    end
  end
  return held
end, { 'no-writes' })

-- KEYS: m, w, lives. ARGV: channel, life, then for each member its id, its attachment, its entry. Subscribers are sent what is new.
register('join', function(keys, args)
  local presence, channel, life, now = keys[2], args[1], args[2], now_ms()
  if not fields_of(keys[1], FIELD.prefix)[1] then
    return '!no_such_session'
  end
  if is_foreign(redis.pcall('HLEN', presence)) then
    redis.call('UNLINK', presence)
  end
  local joined, updated, is_full = {}, {}, false
  for i = 3, #args, 3 do
    local id, value = args[i], life .. ' ' .. args[i + 1] .. ' ' .. args[i + 2]
    local held = redis.call('HGET', presence, id)
    if not held and redis.call('HLEN', presence) >= MEMBERS_MAX then
      is_full = true
    elseif held ~= value then
      redis.call('HSET', presence, id, value)
      local list = held and updated or joined
      list[#list + 1] = args[i + 2]
    end
  end
  extend(keys[3], life, now)
  redis.call('PEXPIRE', presence, PRESENCE_MS)
  tell(channel, life, #args == 5 and args[4] or '', { joined = joined, updated = updated })
  return is_full and '!quota_exceeded the session has too many members present' or '+'
end)

-- KEYS: w. ARGV: channel, life, then for each member its id and its attachment. Members whose entry is another attachment's stay.
register('leave', function(keys, args)
  local presence, left = keys[1], {}
  if is_foreign(redis.pcall('HLEN', presence)) then
    return '+'
  end
  for i = 3, #args, 2 do
    local attachment, json = string.match(redis.call('HGET', presence, args[i]) or '', '^%S+ (%S+) (.*)$')
    if attachment == args[i + 1] then
      redis.call('HDEL', presence, args[i])
      left[#left + 1] = json
    end
  end
  tell(args[1], args[2], #args == 4 and args[4] or '', { left = left })
  return '+'
end, { 'allow-oom' })

-- KEYS: w, lives. ARGV: life, then ids. Entries of a life that has ended are forgotten; each replica tells its own clients.
register('bury', function(keys, args)
  local presence, life = keys[1], args[1]
  if lives_at(keys[2], now_ms())(life) or is_foreign(redis.pcall('HLEN', presence)) then
    return '+'
  end
  for i = 2, #args do
    if string.match(redis.call('HGET', presence, args[i]) or '', '^%S+') == life then
      redis.call('HDEL', presence, args[i])
    end
  end
  return '+'
end, { 'allow-oom' })
