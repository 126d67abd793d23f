-- Make events of drafts and put them into the streams.

local FRAME = '{"type":"event","seq":'

-- First and last seq of the deltas of an open part.
local function span_of(m, part)
  local span = m.spans[part]
  if span == nil and m[part] then
    local first, last = string.match(m[part], '^(%d+) (%d+)$')
    span = { first, last }
    m.spans[part] = span
  end
  return span
end

local function extend_part(m, draft, seq, now)
  local part = draft.part
  local span = span_of(m, part)
  if span then
    span[2] = seq
  else
    m.spans[part] = { seq, seq, seq .. ' ' .. now .. ' ' .. author_of(draft.body) }
    m.w, m.has_new_parts = m.w .. ' ' .. part .. '=' .. seq, true
  end
end

-- First and last seq of the deltas of the part that ends here; of a part that had none, the seq of what ends it.
local function end_part(m, part, seq, now)
  local span = span_of(m, part)
  if not span then
    return seq, seq
  end
  local from, to = string.find(m.w .. ' ', ' ' .. part .. '=' .. span[1] .. ' ', 1, true)
  m.w = join_oldest(string.sub(m.w, 1, from - 1) .. string.sub(m.w, to) .. ' ' .. span[1] .. ':' .. now)
  m.spans[part], m.has_new_parts = false, true
  return span[1], span[2]
end

-- The turn is over, and with it whatever parts it has open.
local function end_turn(m, scope, now)
  local names
  m.w, names = end_those(m.w, function(name) return is_within(name, scope) end, now)
  for _, name in ipairs(names) do
    m.spans[name], m.has_new_parts = false, true
  end
end

-- The frame that everybody gets (`complete` of core/event.py).
local function complete(draft, seq, cursor, first, last)
  local replaces = ''
  if first then
    replaces = '"replaces":{"part":"' .. draft.replaces .. '","first_seq":' .. first .. ',"last_seq":' .. last .. '},'
  end
  local header = FRAME .. seq .. ',"cursor":"' .. cursor .. '",' .. replaces .. draft.body
  return draft.payload and struct.pack('>I4', #header) .. header .. draft.payload or header
end

-- The parts that the drafts touched, as they are now: fields to set after `list`, and those to delete.
local function touched_parts(m, list)
  local gone = {}
  for part, span in pairs(m.spans) do
    if span then
      list[#list + 1], list[#list + 2] = part, span[1] .. ' ' .. span[2]
      if span[3] then
        list[#list + 1], list[#list + 2] = record_field(part), span[3]
      end
    else
      gone[#gone + 1] = part
    end
  end
  if m.has_new_parts then
    list[#list + 1], list[#list + 2] = 'w', m.w
  end
  return gone
end

-- The prefix of cursors from here on; a new incarnation of the server begins a new term.
local function prefix_at(meta, m, seq, now, list)
  local current = incarnation(now)
  if string.sub(m.p, -6) == current then
    return m.p
  end
  local terms, name = terms_at(redis.call('HGET', meta, 't'), seq, current)
  local prefix = string.match(m.p, '^%w+') .. '-' .. name
  m.has_new_term = true
  list[1], list[2], list[3], list[4] = 't', terms, 'p', prefix
  return prefix
end

-- Append all drafts that have no verdict. The streams come first, with ids that must be larger than the last: if a stream
-- refuses, no metadata speaks of the event. Returns the frames, the head, and whether the deltas are a new key.
local function write(keys, drafts, verdicts, m, now)
  local seq, list, frames, ids, is_new = m.seq, {}, {}, {}, false
  local prefix = prefix_at(keys[1], m, seq, now, list)
  local entry = m.s
  for i = 1, #drafts do
    local draft = drafts[i]
    if not verdicts[i] then
      seq = seq + 1
      local number = string.format('%d', seq) -- once, and not by `..`, which takes half as long again
      entry = number .. '-' .. draft.tag
      local cursor, first, last = prefix .. '-' .. entry, nil, nil
      if draft.part then
        extend_part(m, draft, number, now)
        is_new = is_new or not m.D
      elseif draft.ends then
        first, last = end_part(m, draft.ends, number, now)
      end
      local frame = complete(draft, number, cursor, first, last)
      redis.call('XADD', draft.part and keys[3] or keys[2], entry, 'f', frame)
      list[#list + 1], list[#list + 2] = draft.field, entry .. ' ' .. draft.digest
      frames[#frames + 1], ids[#ids + 1], verdicts[i] = frame, draft.id, '+' .. cursor
      if draft.ends_turn then
        end_turn(m, draft.ends_turn, now)
      end
    elseif type(verdicts[i]) == 'number' then
      verdicts[i] = '=' .. string.sub(verdicts[verdicts[i]], 2)
    end
  end
  list[#list + 1], list[#list + 2] = '#' .. (m.seq + 1), now .. ' ' .. table.concat(ids, ' ')
  local gone = touched_parts(m, list)
  redis.call('HSET', keys[1], 's', entry, is_new and 'D' or 's', is_new and 1 or entry, unpack(list))
  if #gone > 0 then
    redis.call('HDEL', keys[1], unpack(fields_of_parts(gone)))
  end
  return frames, seq, is_new
end
