-- The mint: the one place where a seq, an entry id, a cursor and the frame of an event are made. Every append path calls it.

local FRAME = '{"type":"event","seq":'

-- The cursor of an entry, "prefix-seq-tag" (see `core/cursor.py`).
local function cursor_at(prefix, entry)
  return prefix .. '-' .. entry
end

-- The event behind `head` others: its seq as text, its entry id and its cursor.
local function mint(head, prefix, tag)
  local seq = string.format('%d', head + 1) -- once, and not by `..`, which takes half as long again
  local entry = seq .. '-' .. tag
  return seq, entry, prefix .. '-' .. entry
end

-- What every client gets, and the stream keeps: `rest` is the draft's body, behind what it replaces.
local function frame_of(seq, cursor, rest)
  return FRAME .. seq .. ',"cursor":"' .. cursor .. '",' .. rest
end

-- The cursor of an event that is in the log, from its entry id.
local function cursor_of(meta, entry)
  local fields = redis.call('HMGET', meta, FIELD.prefix, FIELD.terms)
  local seq = tonumber(string.match(entry, '^%d+'))
  local epoch, found = string.match(fields[1], '^%w+'), nil
  for name, first in string.gmatch(fields[2], '(%w+):(%d+)') do
    if not found or tonumber(first) <= seq then
      found = name
    end
  end
  return cursor_at(epoch .. '-' .. found, entry)
end
