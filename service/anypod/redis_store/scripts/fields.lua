-- The fields of a session's hash `m`, by name. `redis_store/fields.py` reads this table for what Python looks at.
--
-- A session's keys: `m` this hash, `l` the durable stream, `d` the deltas, `v` the live state, `w` presence, `k` claims of devices.
-- Fields that are made of what they are about have no name here:
--   .id          digest and entry id of an event     #seq         when ids arrived, and those of one call, from this seq on
--   !turn        the turn's live fence               @turn/part   first and last seq of an open part's deltas
--   &turn/part   of an open part: the last seq that housekeeping has seen, when it saw it first, and the author who opened the part

local FIELD = {
  prefix = 'p', -- epoch and current term, the beginning of every cursor
  head = 's', -- the head's entry id, seq-tag
  check_at = 'q', -- up to this seq an append needs no check of quotas
  move_at = 'x', -- from this time on an append moves the expiry
  expires_at = 'X', -- when the keys expire
  terms = 't', -- "name:first_seq …"
  owner = 'o',
  class_name = 'k',
  class = 'K', -- its numbers, see `class_of`
  closed = 'c', -- set when the log has ended
  deleted_owner = 'z', -- set when the session is deleted: its last owner
  deleted_epoch = 'e', -- beside it
  claim = 'a', -- the newest claim of a device
  version = 'v', -- of state, live and metadata
  state = 'S',
  metadata = 'M',
  folded = 'f',
  oldest = 'l',
  patch = 'n', -- the last patch's id
  patches = 'N', -- those of the last 32
  parts = 'w', -- open " @turn/part=first" and ended " first:ended_ms"
  has_deltas = 'D', -- set when `d` exists
  next_id = 'i', -- the first seq whose id may be forgotten next
  fences = 'F', -- how many there are
  marks = 'T', -- when the log stood where, " seq:ms", for a class with retain_ms
  guard = 'g', -- "check_at move_at prefix owner", all that a fast path needs; not there before the first event nor in a closed log
  looked_at = 'L', -- when housekeeping last looked at open parts
  filler = '_', -- a value long enough that the hash is a table
  format = 'format', -- "write" or "write read": which format a library must know to write here, and to read
}
