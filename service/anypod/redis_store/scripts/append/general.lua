-- The general path of an append: judge the drafts, write what is left of them, patch the state, tell every replica.
--
-- The drafts of a call are one request, all or none, or come from several requests, each judged by itself (no id comes twice
-- then). The reply has one item a draft, "+cursor" or "=cursor" or "!code message"; or is one "!code message" for all.

local PATCHES_MAX = 32 -- whose ids are remembered: so many may come between a patch and its repetition

local function ask(fields, field)
  if not fields[field] then
    fields[field] = true
    fields[#fields + 1] = field
  end
  return field
end

-- The arguments that a shape announces, in this order: t turn and fence, d part of a delta, r part that it replaces, b payload.
-- Without an argument: o it may replace its own author's part alone, e it ends its turn.
local function parse_shape(args, at, shape, draft, fields)
  local scope = '@'
  if string.find(shape, 't', 1, true) then
    draft.turn, draft.fence, scope = ask(fields, '!' .. args[at]), args[at + 1], '@' .. args[at]
    at = at + 2
  end
  draft.ends_turn = string.find(shape, 'e', 1, true) and scope .. '/' or nil
  if string.find(shape, 'd', 1, true) then
    draft.part = ask(fields, scope .. '/' .. args[at])
    return at + 1
  end
  if string.find(shape, 'r', 1, true) then
    draft.replaces, draft.ends = args[at], ask(fields, scope .. '/' .. args[at])
    if string.find(shape, 'o', 1, true) then
      ask(fields, record_field(draft.ends))
      draft.is_own, fields.has_own_ends = true, true
    end
    at = at + 1
  end
  if string.find(shape, 'b', 1, true) then
    draft.payload = args[at]
    at = at + 1
  end
  return at
end

-- Each draft is id, digest, tag, body, shape, and what the shape announces. Also returns the fields that they ask about.
local function parse(args, at)
  local drafts, fields = {}, {}
  for i = 1, #FIXED do
    fields[i] = FIELD[FIXED[i]]
  end
  while args[at] do
    local id, shape = args[at], args[at + 4]
    local draft = { id = id, field = '.' .. id, digest = args[at + 1], tag = args[at + 2], body = args[at + 3] }
    drafts[#drafts + 1], fields[#fields + 1] = draft, draft.field
    at = shape == '' and at + 5 or parse_shape(args, at + 5, shape, draft, fields)
  end
  return drafts, fields
end

-- What of `m` a call needs: the fixed fields by their names, and what the drafts ask about by the field itself.
local function load(meta, fields)
  local m = { spans = {}, fields = fields }
  local values = fields_of(meta, unpack(fields))
  for i = 1, #fields do
    if values[i] then -- the ids of new events are not there, and nothing is set for them
      m[FIXED[i] or fields[i]] = values[i]
    end
  end
  m.seq = m.head and tonumber(string.match(m.head, '^%d+'))
  return m
end

-- A closed log refuses whatever it does not have.
local function close(drafts, verdicts)
  for i = 1, #drafts do
    if not verdicts[i] or string.sub(verdicts[i], 1, 1) ~= '=' then
      verdicts[i] = '!closed'
    end
  end
  return verdicts, '!closed'
end

-- Both are judged, because each draft may need its own verdict; one refusal stands for all.
local function first_of(refusal, another)
  return refusal or another
end

-- The verdicts so far, and the refusal of the call if there is one.
local function judge(keys, request, drafts, m, now)
  local verdicts, count, conflict = judge_ids(keys[1], request, drafts, m)
  if count > 0 and count == #drafts then
    return verdicts -- before `closed`: a publisher that lost the first reply must not get a refusal of a logged event
  end
  if m.closed then
    return close(drafts, verdicts)
  end
  local refusal = conflict
  if not refusal and request.expect ~= '' and request.expect ~= cursor_at(m.prefix, m.head) then
    refusal = '!stale'
  end
  if not refusal and request.version ~= '' and request.version ~= redis.call('HGET', keys[1], FIELD.version) then
    refusal = '!stale'
  end
  if refusal and request.is_one then
    return verdicts, refusal
  end
  refusal = judge_fences(drafts, verdicts, m)
  if m.fields.has_own_ends then
    refusal = first_of(refusal, judge_ends(drafts, verdicts, m))
  end
  if m.seq + #drafts > tonumber(m.check_at) and not (refusal and request.is_one) then
    refusal = first_of(refusal, judge_quota(keys, drafts, verdicts, m, now))
  end
  return verdicts, first_of(refusal, judge_parts(keys, drafts, verdicts, m, now))
end

-- What was there before may not have reached the replicas or the disk yet, and a WAIT behind this call waits for what this
-- connection has written alone: so it writes something.
local function touch_head(meta, m)
  redis.call('HSET', meta, FIELD.head, m.head)
end

-- The ids of patches that are remembered, each behind a space. An older library keeps the last one alone.
local function patches_of(meta)
  local m = redis.call('HMGET', meta, FIELD.patch, FIELD.patches)
  local ids = m[2] or ''
  local is_listed = not m[1] or string.find(ids .. ' ', ' ' .. m[1] .. ' ', 1, true)
  return is_listed and ids or ids .. ' ' .. m[1]
end

local function is_repeated(meta, request)
  return string.find(patches_of(meta) .. ' ', ' ' .. request.patch_id .. ' ', 1, true) ~= nil
end

-- Set the new values; returns the notice for all replicas.
local function patch(keys, request, now)
  local meta, live = keys[1], keys[4]
  local version, ids = request.version + 1, patches_of(meta) .. ' ' .. request.patch_id
  while select(2, string.gsub(ids, ' ', ' ')) > PATCHES_MAX do
    ids = string.match(ids, '^ %S+(.*)$')
  end
  local set = { FIELD.version, version, FIELD.patch, request.patch_id, FIELD.patches, ids }
  if request.state ~= '' then
    set[#set + 1], set[#set + 2] = FIELD.state, request.state
  end
  if request.metadata ~= '' then
    set[#set + 1], set[#set + 2] = FIELD.metadata, request.metadata
  end
  redis.call('HSET', meta, unpack(set))
  if request.live == NO_STATE then
    redis.call('UNLINK', live)
  elseif request.live ~= '' then
    redis.call('SET', live, request.live, 'PX', class_of(redis.call('HGET', meta, FIELD.class)).live_ms)
  end
  local live_ms = math.max(0, redis.call('PTTL', live))
  return '{"type":"n.state","version":' .. version .. ',"state":' .. redis.call('HGET', meta, FIELD.state)
    .. ',"live":' .. (live_of(live) or NO_STATE) .. ',"live_ms":' .. live_ms .. '}'
end

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
    m.parts, m.has_new_parts = m.parts .. ' ' .. part .. '=' .. seq, true
  end
end

-- First and last seq of the deltas of the part that ends here; of a part that had none, the seq of what ends it.
local function end_part(m, part, seq, now)
  local span = span_of(m, part)
  if not span then
    return seq, seq
  end
  local from, to = string.find(m.parts .. ' ', ' ' .. part .. '=' .. span[1] .. ' ', 1, true)
  m.parts = join_oldest(string.sub(m.parts, 1, from - 1) .. string.sub(m.parts, to) .. ' ' .. span[1] .. ':' .. now)
  m.spans[part], m.has_new_parts = false, true
  return span[1], span[2]
end

-- The turn is over, and with it whatever parts it has open.
local function end_turn(m, scope, now)
  local names
  m.parts, names = end_those(m.parts, function(name) return is_within(name, scope) end, now)
  for _, name in ipairs(names) do
    m.spans[name], m.has_new_parts = false, true
  end
end

-- The frame that every subscriber gets (`complete` of core/event.py).
local function complete(draft, seq, cursor, first, last)
  local replaces = ''
  if first then
    replaces = '"replaces":{"part":"' .. draft.replaces .. '","first_seq":' .. first .. ',"last_seq":' .. last .. '},'
  end
  local header = frame_of(seq, cursor, replaces .. draft.body)
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
    list[#list + 1], list[#list + 2] = FIELD.parts, m.parts
  end
  return gone
end

-- The prefix of cursors from here on; a new incarnation of the server begins a new term.
local function prefix_at(meta, m, seq, now, list)
  local current = incarnation(now)
  if string.sub(m.prefix, -6) == current then
    return m.prefix
  end
  local terms, name = terms_at(redis.call('HGET', meta, FIELD.terms), seq, current)
  local prefix = string.match(m.prefix, '^%w+') .. '-' .. name
  m.has_new_term = true
  list[1], list[2], list[3], list[4] = FIELD.terms, terms, FIELD.prefix, prefix
  return prefix
end

-- Append all drafts that have no verdict. The streams come first, with ids that must be larger than the last: if a stream
-- refuses, no metadata speaks of the event. Returns the frames, the head, and whether the deltas are a new key.
local function write(keys, drafts, verdicts, m, now)
  local seq, list, frames, ids, is_new = m.seq, {}, {}, {}, false
  local prefix = prefix_at(keys[1], m, seq, now, list)
  local entry = m.head
  for i = 1, #drafts do
    local draft = drafts[i]
    if not verdicts[i] then
      local number, cursor, first, last
      number, entry, cursor = mint(seq, prefix, draft.tag)
      seq = seq + 1
      if draft.part then
        extend_part(m, draft, number, now)
        is_new = is_new or not m.has_deltas
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
  redis.call('HSET', keys[1], FIELD.head, entry, is_new and FIELD.has_deltas or FIELD.head, is_new and 1 or entry, unpack(list))
  if #gone > 0 then
    redis.call('HDEL', keys[1], unpack(fields_of_parts(gone)))
  end
  return frames, seq, is_new
end

-- KEYS: m, l, d, v (no append names fewer: see keys.py). ARGV: channel, owner ("-": any), "all" or "each", expected cursor, version of the patch, and if there is
-- a patch its id, state, live and metadata ("": unchanged); then the drafts.
local function append(keys, args)
  local channel, owner, is_one = args[1], args[2], args[3] == 'all'
  local request = { is_one = is_one, expect = args[4], version = args[5], patch_id = args[6], state = args[7], live = args[8], metadata = args[9] }
  local is_patch = request.version ~= ''
  local drafts, fields = parse(args, is_patch and 10 or 6)
  local now, m = now_ms(), load(keys[1], fields)
  if not m.prefix or (owner ~= '-' and owner ~= m.owner) then
    return '!no_such_session'
  end
  if not may_write(m.format) then
    return NEWER
  end
  if is_patch and #drafts == 0 and is_repeated(keys[1], request) then
    touch_head(keys[1], m)
    return {} -- the first reply was lost
  end
  if repair(keys[1], keys[2], keys[3], m.head, m.has_deltas) then
    m.has_deltas = nil
  end
  local verdicts, refusal = judge(keys, request, drafts, m, now)
  if refusal and is_one then
    return refusal
  end
  local count = 0
  for i = 1, #drafts do
    count = verdicts[i] and count or count + 1
  end
  if count == 0 and not (is_patch and #drafts == 0) then
    touch_head(keys[1], m)
    return verdicts
  end

  local frames, seq, is_new = {}, m.seq, false
  if count > 0 then
    frames, seq, is_new = write(keys, drafts, verdicts, m, now)
  end
  if is_patch then
    frames[#frames + 1] = patch(keys, request, now)
  end
  for i = 1, #frames do
    redis.call('SPUBLISH', channel, frames[i])
  end
  local is_expiry_due = now >= tonumber(m.move_at) or is_new
  if is_expiry_due then
    set_expiry(keys[1], keys[2], keys[3], class_of(redis.call('HGET', keys[1], FIELD.class)).ttl_ms, now)
  end
  if tidy_between(keys, m.seq, seq, now) then
    return verdicts
  end
  if seq > tonumber(m.check_at) then
    local class = class_of(redis.call('HGET', keys[1], FIELD.class))
    redis.call('HSET', keys[1], FIELD.check_at, next_check(keys[2], keys[3], class, seq, 0))
    set_guard(keys[1])
  elseif is_expiry_due or m.has_new_term then
    set_guard(keys[1])
  end
  return verdicts
end
