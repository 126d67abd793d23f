-- Replicas: who serves. A field is one life of a replica, its value "until_ms json", and holds until then.
-- And whether a replica still calls this library: kept in the server's memory beside the library itself, so that replicas with other prefixes,
-- which share the library, count as well, and so that it begins anew with every start of the server.

local used_ms = nil -- when a replica said so last

-- KEYS: r. ARGV: life, entry, ttl_ms. An empty entry: it has gone. All entries that hold.
register('announce', function(keys, args)
  local replicas, life, entry, ttl_ms = keys[1], args[1], args[2], args[3]
  local now, all = now_ms(), redis.pcall('HGETALL', replicas)
  if is_foreign(all) then
    redis.call('UNLINK', replicas) -- something of another type: as good as nothing
    all = {}
  end
  local held, gone = { '+' }, {}
  for i = 1, #all, 2 do
    local until_ms, json = string.match(all[i + 1], '^(%d+) (.*)$')
    if not until_ms then -- written by another program: it would never expire. The caller counts it, once
      gone[#gone + 1] = all[i]
      held[#held + 1] = all[i + 1]
    elseif all[i] == life or tonumber(until_ms) <= now then
      gone[#gone + 1] = all[i]
    else
      held[#held + 1] = json
    end
  end
  for i = 1, #gone, 1000 do
    redis.call('HDEL', replicas, unpack(gone, i, math.min(i + 999, #gone)))
  end
  if entry ~= '' then
    held[#held + 1] = entry
    redis.call('HSET', replicas, life, (now + ttl_ms) .. ' ' .. entry)
    if redis.call('PTTL', replicas) < tonumber(ttl_ms) then
      redis.call('PEXPIRE', replicas, ttl_ms)
    end
  end
  return held
end)

-- KEYS: none. A replica calls this library.
register('use', function()
  used_ms = now_ms()
  return 1
end, { 'no-writes' })

-- KEYS: none. For how many milliseconds no replica has said so; the first question begins the count.
register('idle', function()
  local now = now_ms()
  used_ms = used_ms or now
  return now - used_ms
end, { 'no-writes' })
