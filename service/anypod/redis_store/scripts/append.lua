-- Append events: the one place where a seq and a cursor are made.
--
-- The drafts of a call are one request, all or none, or come from several requests, each judged by itself (no id comes twice
-- then). The reply has one item a draft, "+cursor" or "=cursor" or "!code message"; or is one "!code message" for all.

local FIXED = { 'p', 's', 'q', 'x', 'o', 'c', 'w', 'D', 'format' }
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
  local drafts, fields = {}, { unpack(FIXED) }
  while args[at] do
    local id, shape = args[at], args[at + 4]
    local draft = { id = id, field = '.' .. id, digest = args[at + 1], tag = args[at + 2], body = args[at + 3] }
    drafts[#drafts + 1], fields[#fields + 1] = draft, draft.field
    at = shape == '' and at + 5 or parse_shape(args, at + 5, shape, draft, fields)
  end
  return drafts, fields
end

local function load(meta, fields)
  local m = { spans = {}, fields = fields }
  local values = fields_of(meta, unpack(fields))
  for i = 1, #fields do
    if values[i] then -- the ids of new events are not there, and nothing is set for them
      m[fields[i]] = values[i]
    end
  end
  m.seq = m.s and tonumber(string.match(m.s, '^%d+'))
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
    return verdicts -- before `closed`: who lost the first reply must not be told that a logged event was refused
  end
  if m.c then
    return close(drafts, verdicts)
  end
  local refusal = conflict
  if not refusal and request.expect ~= '' and request.expect ~= m.p .. '-' .. m.s then
    refusal = '!stale'
  end
  if not refusal and request.version ~= '' and request.version ~= redis.call('HGET', keys[1], 'v') then
    refusal = '!stale'
  end
  if refusal and request.is_one then
    return verdicts, refusal
  end
  refusal = judge_fences(drafts, verdicts, m)
  if m.fields.has_own_ends then
    refusal = first_of(refusal, judge_ends(drafts, verdicts, m))
  end
  if m.seq + #drafts > tonumber(m.q) and not (refusal and request.is_one) then
    refusal = first_of(refusal, judge_rooms(keys, drafts, verdicts, m, now))
  end
  return verdicts, first_of(refusal, judge_parts(keys, drafts, verdicts, m, now))
end

-- What was there before may not have reached the replicas or the disk yet, and a WAIT behind this call waits for what this
-- connection has written alone: so it writes something.
local function touch_head(meta, m)
  redis.call('HSET', meta, 's', m.s)
end

-- The ids of patches that are remembered, each behind a space. An older library keeps the last one alone.
local function patches_of(meta)
  local m = redis.call('HMGET', meta, 'n', 'N')
  local ids = m[2] or ''
  local is_listed = not m[1] or string.find(ids .. ' ', ' ' .. m[1] .. ' ', 1, true)
  return is_listed and ids or ids .. ' ' .. m[1]
end

local function is_repeated(meta, request)
  return string.find(patches_of(meta) .. ' ', ' ' .. request.patch_id .. ' ', 1, true) ~= nil
end

-- Set the new values and tell everybody.
local function patch(keys, request, now)
  local meta, live = keys[1], keys[4]
  local version, ids = request.version + 1, patches_of(meta) .. ' ' .. request.patch_id
  while select(2, string.gsub(ids, ' ', ' ')) > PATCHES_MAX do
    ids = string.match(ids, '^ %S+(.*)$')
  end
  local set = { 'v', version, 'n', request.patch_id, 'N', ids }
  if request.state ~= '' then
    set[#set + 1], set[#set + 2] = 'S', request.state
  end
  if request.metadata ~= '' then
    set[#set + 1], set[#set + 2] = 'M', request.metadata
  end
  redis.call('HSET', meta, unpack(set))
  if request.live == NO_STATE then
    redis.call('UNLINK', live)
  elseif request.live ~= '' then
    redis.call('SET', live, request.live, 'PX', class_of(redis.call('HGET', meta, 'K')).live_ms)
  end
  local live_ms = math.max(0, redis.call('PTTL', live))
  return '{"type":"n.state","version":' .. version .. ',"state":' .. redis.call('HGET', meta, 'S')
    .. ',"live":' .. (live_of(live) or NO_STATE) .. ',"live_ms":' .. live_ms .. '}'
end

-- KEYS: m, l, d, v (no append names fewer: see keys.py). ARGV: channel, owner ("-": any), "all" or "each", expected cursor, version of the patch, and if there is
-- a patch its id, state, live and metadata ("": unchanged); then the drafts.
local function append(keys, args)
  local channel, owner, is_one = args[1], args[2], args[3] == 'all'
  local request = { is_one = is_one, expect = args[4], version = args[5], patch_id = args[6], state = args[7], live = args[8], metadata = args[9] }
  local is_patch = request.version ~= ''
  local drafts, fields = parse(args, is_patch and 10 or 6)
  local now, m = now_ms(), load(keys[1], fields)
  if not m.p or (owner ~= '-' and owner ~= m.o) then
    return '!no_such_session'
  end
  if not may_write(m.format) then
    return NEWER
  end
  if is_patch and #drafts == 0 and is_repeated(keys[1], request) then
    touch_head(keys[1], m)
    return {} -- the first reply was lost
  end
  if mend(keys[1], keys[2], keys[3], m.s, m.D) then
    m.D = nil
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
  local is_expiry_due = now >= tonumber(m.x) or is_new
  if is_expiry_due then
    set_expiry(keys[1], keys[2], keys[3], class_of(redis.call('HGET', keys[1], 'K')).ttl_ms, now)
  end
  if tidy_between(keys, m.seq, seq, now) then
    return verdicts
  end
  if seq > tonumber(m.q) then
    local class = class_of(redis.call('HGET', keys[1], 'K'))
    redis.call('HSET', keys[1], 'q', next_check(keys[2], keys[3], class, seq, 0))
    set_guard(keys[1])
  elseif is_expiry_due or m.has_new_term then
    set_guard(keys[1])
  end
  return verdicts
end
