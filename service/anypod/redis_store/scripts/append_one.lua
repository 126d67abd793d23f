-- The fast path: one plain event in four calls. Anything out of the ordinary goes the long way, within the same call.

-- KEYS: m, l, d. ARGV: channel, owner ("-": any), id, digest, tag, body. "+cursor", or what `append` answers.
register('append_one', function(keys, args)
  local meta, owner, id, tag = keys[1], args[2], args[3], args[5]
  local field = '.' .. id
  local m = redis.call('HMGET', meta, 'p', 's', 'q', 'x', 'o', field)
  local prefix, now = m[1], now_ms()
  -- `q` is 0 before the first event and for a closed log, and small enough for quotas and housekeeping otherwise.
  local seq = prefix and m[3] ~= '0' and string.sub(m[2], 1, -12) + 1 -- a tag has ten digits
  if not seq or seq > tonumber(m[3]) or now >= tonumber(m[4]) or m[6] or (owner ~= '-' and owner ~= m[5])
    or string.sub(prefix, -6) ~= incarnation(now) then
    return append(keys, { args[1], owner, 'all', '', '', id, args[4], tag, args[6], '' })
  end
  local entry = seq .. '-' .. tag
  local cursor = prefix .. '-' .. entry
  local frame = FRAME .. seq .. ',"cursor":"' .. cursor .. '",' .. args[6]
  redis.call('XADD', keys[2], entry, 'f', frame)
  redis.call('HSET', meta, 's', entry, field, entry .. ' ' .. args[4], '#' .. seq, now .. ' ' .. id)
  redis.call('SPUBLISH', args[1], frame)
  return '+' .. cursor
end)
