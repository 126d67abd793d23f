-- The parts of a session: which are open, who opened them, and how they end without an event that says so.

local ENDED_MAX = 512 -- ended parts not folded yet; beyond it the two oldest count as one, folded with the younger

local function count_open(parts)
  return select(2, string.gsub(parts, '@', '@'))
end

-- `scope`: "@turn/".
local function is_within(part, scope)
  return string.sub(part, 1, #scope) == scope
end

-- The field beside the span of a part's deltas: "last_seen seen_ms author".
local function record_field(part)
  return '&' .. string.sub(part, 2)
end

-- The author as JSON. Id and kind before it hold no quotes, and a quote within it is escaped: the first end is its end.
local function author_of(body)
  return string.match(body, '^"id":"[^"]*","kind":"[^"]*","author":(.-),"ts":')
end

-- Who opened a part, by its record. Nil: an older library did, which does not write it down.
local function opener_of(record)
  local author = record and string.match(record, '^%d+ %d+ (.+)$')
  return author ~= '-' and author or nil
end

local function join_oldest(parts)
  local count = select(2, string.gsub(parts, ' %d+:%d+', ''))
  if count <= ENDED_MAX then
    return parts
  end
  local joined = string.gsub(parts, ' (%d+):(%d+)(.-) (%d+):(%d+)', function(one, one_ms, between, two, two_ms)
    return between .. ' ' .. math.min(one, two) .. ':' .. math.max(one_ms, two_ms)
  end, 1)
  return joined
end

-- The text of parts once those have ended that `is_over` says, and their names. Ended at once, they count as one.
local function end_those(parts, is_over, now)
  local kept, names, first = {}, {}, nil
  for item in string.gmatch(parts, '%S+') do
    local name, from = string.match(item, '^(@.*)=(%d+)$')
    if name and is_over(name) then
      names[#names + 1], first = name, math.min(first or math.huge, tonumber(from))
    else
      kept[#kept + 1] = ' ' .. item
    end
  end
  if not first then
    return parts, names
  end
  return join_oldest(table.concat(kept) .. ' ' .. first .. ':' .. now), names
end

-- The fields that go with parts that have ended.
local function fields_of_parts(names)
  local fields = {}
  for _, name in ipairs(names) do
    fields[#fields + 1], fields[#fields + 2] = name, record_field(name)
  end
  return fields
end

-- The parts without those that have had no delta for `open_ms`, and when the next one will have had none. A part's age counts from
-- when housekeeping first saw its last delta: no delta pays for it, and a part ends late rather than early. `is_steady`: the clock
-- was not set since the last look, as far as can be known; otherwise every age begins anew.
local function end_old_parts(meta, parts, open_ms, now, is_steady)
  local names = {}
  for name in string.gmatch(parts, '(@%S+)=%d+') do
    names[#names + 1] = name
  end
  if #names == 0 then
    return parts, nil
  end
  local values, set, is_over, oldest = redis.call('HMGET', meta, unpack(fields_of_parts(names))), {}, {}, nil
  for i, name in ipairs(names) do
    local last, record = string.match(values[2 * i - 1] or '0', '%d+$'), values[2 * i] or '0 0 -'
    local seen, seen_ms, author = string.match(record, '^(%d+) (%d+) (.+)$')
    if seen ~= last or not is_steady then
      seen_ms = now
      set[#set + 1], set[#set + 2] = record_field(name), last .. ' ' .. now .. ' ' .. author
    end
    if now - seen_ms >= open_ms then
      is_over[name] = true
    else
      oldest = math.min(oldest or math.huge, seen_ms)
    end
  end
  if #set > 0 then
    redis.call('HSET', meta, unpack(set))
  end
  local kept, gone = end_those(parts, function(name) return is_over[name] end, now)
  if #gone > 0 then
    redis.call('HDEL', meta, unpack(fields_of_parts(gone)))
  end
  return kept, oldest and oldest + open_ms
end
