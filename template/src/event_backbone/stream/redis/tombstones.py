"""Erasing entries: the set ``{<stream>}:tombstones`` remembers which ones, so that nobody takes them for lost."""

from event_backbone.connection import ALLOW_OOM, Script
from event_backbone.stream.redis.entry_ids import ENTRY_ID, EVENT_IDS
from event_backbone.wire.lua import with_names

ERASE = Script(
    with_names(
        ALLOW_OOM
        + """
-- Deletes an entry with its inline payload, and remembers its id permanently. KEYS: stream. ARGV: entry id.
-- Returns 1, or 0 if there is no such entry, and then nothing is remembered.
-- Keeps promise 6: one step, so that an erased event is never taken for a lost one, and no restore brings it back: its
-- event is also deleted from the stream that is being built, under whichever id it has or will have there.
local stream, id = KEYS[1], ARGV[1]
local base = '{' .. stream .. '}:'
local restoring, tombstones = base .. '$RESTORING_KEY', base .. '$TOMBSTONES_KEY'
"""
        + ENTRY_ID
        + EVENT_IDS
        + """
local entry = redis.call('XRANGE', stream, id, id)[1]
local deleted = redis.call('XDEL', stream, id)
if redis.call('EXISTS', restoring) == 1 then
  if not entry then
    deleted = redis.call('XDEL', restoring, id)
  else
    local second, rest = event_id_of(entry[2])
    local known = second and seen(second, rest)
    for _, other in ipairs({id, known or id, redis.call('HGET', base .. '$RESTORING_MOVED_KEY', id) or id}) do
      if has_event(restoring, other, entry[2]) then redis.call('XDEL', restoring, other) end
      if other ~= id then redis.call('SADD', tombstones, other) end
    end
  end
end
if deleted == 0 then return 0 end
redis.call('SADD', tombstones, id)
return 1
"""
    )
)

# For scripts in which ``base`` begins the keys of the stream.
WAS_ERASED = """
-- Whether an entry that has left the stream was erased.
local function was_erased(id) return redis.call('SISMEMBER', base .. '$TOMBSTONES_KEY', id) == 1 end
"""
