-- Erasures: what takes everything of a session away, and the records of what is being taken away.

local ERASURES_MAX = 1000 -- records of all tenants: those under way, and those that were done lately

-- KEYS: all of a session. ARGV: channel, owner ("-": any). 2: a session is gone, 1: remains of one, 0: there is nothing.
register('erase', function(keys, args)
  local meta, channel, owner = keys[1], args[1], args[2]
  local m = fields_of(meta, FIELD.prefix, FIELD.owner, FIELD.deleted_owner)
  if owner ~= '-' and owner ~= (m[1] and m[2] or m[3]) then
    return 0
  end
  local gone = redis.call('UNLINK', unpack(keys))
  if m[1] then
    redis.call('SPUBLISH', channel, '{"type":"n.deleted"}')
    return 2
  end
  return gone > 0 and 1 or 0
end, { 'allow-oom' })

-- KEYS: e. ARGV: name, what stands there ("": nothing), what shall stand there ("": nothing), ttl_ms. Whether it does now.
register('swap_erasure', function(keys, args)
  local records, name, before, after, ttl_ms = keys[1], args[1], args[2], args[3], args[4]
  if (redis.call('HGET', records, name) or '') ~= before then
    return '='
  end
  if after == '' then
    redis.call('HDEL', records, name)
    return '+'
  end
  if before == '' and redis.call('HLEN', records) >= ERASURES_MAX then
    return '!quota_exceeded there are as many erasures under way as there may be'
  end
  redis.call('HSET', records, name, after)
  redis.call('PEXPIRE', records, ttl_ms)
  return '+'
end, { 'allow-oom' })
