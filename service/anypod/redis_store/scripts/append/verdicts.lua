-- Verdicts on drafts, before anything is written: a draft without one is appended.
--
-- A verdict is "=cursor" there before, "!code message" refused, or the place of the draft in the same call that it repeats.

local FIXED = { 'prefix', 'head', 'check_at', 'move_at', 'owner', 'closed', 'parts', 'has_deltas', 'format' } -- names in FIELD, of what every call needs
local PARTS_MAX = 256 -- parts open at once in a session
local PARTS_FULL_OPEN_MS = 60000 -- for when there are so many: a part without a delta for this long makes room
local NOT_OWN = '!not_allowed the part belongs to another author'
local FULL = '!quota_exceeded the session holds as many events as it may'
local FULL_BYTES = '!quota_exceeded the session holds as many bytes as it may'
local FULL_PARTS = '!quota_exceeded the session has too many open parts'
local CONFLICT = '!conflict the same id was published before with another body'

-- Verdicts on ids that are known, from the log or from an earlier draft of one request; how many the log has; the refusal, if
-- one conflicts.
local function judge_ids(meta, request, drafts, m)
  local verdicts, count, refusal, places = {}, 0, nil, {}
  for i = 1, #drafts do
    local draft = drafts[i]
    local first, place = m[draft.field], places[draft.id]
    if first then
      local space = string.find(first, ' ', 1, true)
      local is_same = string.sub(first, space + 1) == draft.digest
      verdicts[i] = is_same and '=' .. cursor_of(meta, string.sub(first, 1, space - 1)) or CONFLICT
      count = is_same and count + 1 or count
    elseif place then
      verdicts[i] = drafts[place].digest == draft.digest and place or CONFLICT
    elseif request.is_one then
      places[draft.id] = i
    end
    refusal = refusal or verdicts[i] == CONFLICT and CONFLICT or nil
  end
  return verdicts, count, refusal
end

local function judge_fences(drafts, verdicts, m)
  local refusal = nil
  for i = 1, #drafts do
    local draft = drafts[i]
    if not verdicts[i] and draft.turn and m[draft.turn] ~= draft.fence then
      verdicts[i], refusal = '!fenced', '!fenced'
    end
  end
  return refusal
end

-- Whose are the parts that drafts end which may end only their own author's. Draft by draft: parts begin and end within a call too.
local function judge_ends(drafts, verdicts, m)
  local authors, refusal = {}, nil -- false: it is not open
  for i = 1, #drafts do
    local draft = drafts[i]
    local part = draft.part or draft.ends
    if part and not verdicts[i] then
      if authors[part] == nil then
        authors[part] = m[part] and (opener_of(m[record_field(part)]) or author_of(draft.body))
      end
      if draft.part then
        authors[part] = authors[part] or author_of(draft.body)
      elseif draft.is_own and authors[part] and authors[part] ~= author_of(draft.body) then
        verdicts[i], refusal = NOT_OWN, NOT_OWN
      else
        authors[part] = false
      end
    end
  end
  return refusal
end

-- Housekeeping may end parts, and the drafts are to be judged by what is left.
local function tidy_first(keys, m, now, part_open_ms)
  tidy(keys[1], keys[2], keys[3], now, IDS_A_CALL, part_open_ms)
  local values = redis.call('HMGET', keys[1], unpack(m.fields))
  for i = 1, #m.fields do
    m[FIXED[i] or m.fields[i]] = values[i] or nil
  end
end

-- Asked only near a limit. Draft by draft, so that of several requests the first ones still fit.
local function judge_quota(keys, drafts, verdicts, m, now)
  local class = class_of(redis.call('HGET', keys[1], FIELD.class))
  local room, taken, is_tidied, refusal = { quota_left(keys[2], keys[3], class) }, { 0, 0, 0 }, false, nil
  for i = 1, #drafts do
    local draft = drafts[i]
    if not verdicts[i] then
      local kind = draft.part and 2 or 1
      local bytes = #draft.body + #(draft.payload or '')
      if (taken[kind] >= room[kind] or taken[3] + bytes > room[3]) and not is_tidied then
        tidy_first(keys, m, now)
        room, is_tidied = { quota_left(keys[2], keys[3], class) }, true
      end
      if taken[kind] >= room[kind] then
        verdicts[i], refusal = FULL, FULL
      elseif taken[3] + bytes > room[3] then
        verdicts[i], refusal = FULL_BYTES, FULL_BYTES
      else
        taken[kind], taken[3] = taken[kind] + 1, taken[3] + bytes
      end
    end
  end
  return refusal
end

-- The places of drafts that open one part too many.
local function beyond_parts(drafts, verdicts, m)
  local opened, count, beyond = {}, nil, {}
  for i = 1, #drafts do
    local part = drafts[i].part
    if part and not verdicts[i] and not m[part] and not opened[part] then
      count = count or count_open(m.parts)
      if count < PARTS_MAX then
        opened[part], count = true, count + 1
      else
        beyond[#beyond + 1] = i
      end
    end
  end
  return beyond
end

local function judge_parts(keys, drafts, verdicts, m, now)
  local beyond = beyond_parts(drafts, verdicts, m)
  if #beyond > 0 then
    tidy_first(keys, m, now, PARTS_FULL_OPEN_MS)
    beyond = beyond_parts(drafts, verdicts, m)
  end
  for _, i in ipairs(beyond) do
    verdicts[i] = FULL_PARTS
  end
  return #beyond > 0 and FULL_PARTS or nil
end
