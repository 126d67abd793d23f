-- The fast paths: one event in four calls, plain or a delta of an open part. Anything out of the ordinary goes the long way,
-- within the same call.

-- Everything that both ask about: nil when the long way is to be gone. `q` is 0 before the first event and for a closed log,
-- and small enough for quotas and housekeeping otherwise.
local function next_seq(m, owner, now)
  local prefix = m[1]
  if not prefix or m[6] or m[3] == '0' or (owner ~= '-' and owner ~= m[5]) then
    return nil
  end
  local seq = string.sub(m[2], 1, -12) + 1 -- a tag has ten digits
  if seq > tonumber(m[3]) or now >= tonumber(m[4]) or string.sub(prefix, -6) ~= incarnation(now) then
    return nil
  end
  return seq .. '' -- a number is made text once
end

-- KEYS: m, l, d. ARGV: channel, owner ("-": any), id, digest, tag, body. "+cursor", or what `append` answers.
register('append_one', function(keys, args)
  local meta, id, digest, tag, body = keys[1], args[3], args[4], args[5], args[6]
  local field, now = '.' .. id, now_ms()
  local m = redis.call('HMGET', meta, 'p', 's', 'q', 'x', 'o', field)
  local seq = next_seq(m, args[2], now)
  if not seq then
    return append(keys, { args[1], args[2], 'all', '', '', id, digest, tag, body, '' })
  end
  local entry = seq .. '-' .. tag
  local cursor = m[1] .. '-' .. entry
  local frame = FRAME .. seq .. ',"cursor":"' .. cursor .. '",' .. body
  redis.call('XADD', keys[2], entry, 'f', frame)
  redis.call('HSET', meta, 's', entry, field, entry .. ' ' .. digest, '#' .. seq, now .. ' ' .. id)
  redis.call('SPUBLISH', args[1], frame)
  return '+' .. cursor
end)

-- KEYS: m, l, d. ARGV: the same, then part, and turn and fence if there is a turn.
register('append_delta', function(keys, args)
  local meta, id, digest, tag, body, part, turn, fence = keys[1], args[3], args[4], args[5], args[6], args[7], args[8], args[9]
  local field, now = '.' .. id, now_ms()
  local span_field = '@' .. (turn or '') .. '/' .. part
  local m = redis.call('HMGET', meta, 'p', 's', 'q', 'x', 'o', field, span_field, '!' .. (turn or ''))
  local seq = m[7] and (not turn or m[8] == fence) and next_seq(m, args[2], now)
  if not seq then
    local drafts = turn and { 'td', turn, fence, part } or { 'd', part }
    return append(keys, { args[1], args[2], 'all', '', '', id, digest, tag, body, unpack(drafts) })
  end
  local entry = seq .. '-' .. tag
  local cursor = m[1] .. '-' .. entry
  local frame = FRAME .. seq .. ',"cursor":"' .. cursor .. '",' .. body
  redis.call('XADD', keys[3], entry, 'f', frame)
  local span = string.match(m[7], '^%d+ ') .. seq
  redis.call('HSET', meta, 's', entry, field, entry .. ' ' .. digest, '#' .. seq, now .. ' ' .. id, span_field, span)
  redis.call('SPUBLISH', args[1], frame)
  return '+' .. cursor
end)
