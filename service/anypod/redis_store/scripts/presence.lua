-- Presence: who is attached to a session. An entry is "until_ms json" and holds until then.

local MEMBERS_MAX = 10000 -- entries in one session

-- KEYS: m, p. All entries that hold.
register('present', function(keys)
  if not fields_of(keys[1], 'p')[1] then
    return '!no_such_session'
  end
  local now, held, entries = now_ms(), { '+' }, redis.pcall('HVALS', keys[2])
  for _, item in ipairs(is_foreign(entries) and {} or entries) do
    local until_ms, json = string.match(item, '^(%d+) (.*)$')
    if not until_ms then
      held[#held + 1] = item -- nobody's entry: the asker counts it
    elseif tonumber(until_ms) > now then
      held[#held + 1] = json
    end
  end
  return held
end, { 'no-writes' })

-- KEYS: m, p. ARGV: member, entry, ttl_ms. The entry, and all others that hold.
register('join', function(keys, args)
  local presence, member, entry, ttl_ms = keys[2], args[1], args[2], args[3]
  if not fields_of(keys[1], 'p')[1] then
    return '!no_such_session'
  end
  local now, all = now_ms(), redis.pcall('HGETALL', presence)
  if is_foreign(all) then
    redis.call('DEL', presence) -- something of another type: as good as nothing
    all = {}
  end
  local held, gone = { '+', entry }, {}
  for i = 1, #all, 2 do
    local until_ms, json = string.match(all[i + 1], '^(%d+) (.*)$')
    if not until_ms then -- nobody's entry: it could never be over. The asker counts it, once
      gone[#gone + 1] = all[i]
      held[#held + 1] = all[i + 1]
    elseif tonumber(until_ms) <= now then
      gone[#gone + 1] = all[i]
    elseif all[i] ~= member then
      held[#held + 1] = json
    end
  end
  if #held - 2 >= MEMBERS_MAX then
    return '!quota_exceeded the session has too many members present'
  end
  for i = 1, #gone, 1000 do
    redis.call('HDEL', presence, unpack(gone, i, math.min(i + 999, #gone)))
  end
  redis.call('HSET', presence, member, (now + ttl_ms) .. ' ' .. entry)
  if redis.call('PTTL', presence) < tonumber(ttl_ms) then
    redis.call('PEXPIRE', presence, ttl_ms)
  end
  return held
end)
