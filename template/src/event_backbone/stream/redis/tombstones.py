"""Erasing entries: the set ``{<stream>}:tombstones`` remembers which ones, so that nobody takes them for lost."""

from event_backbone.connection import ALLOW_OOM, Script
from event_backbone.wire.lua import with_names

ERASE = Script(
    with_names(
        ALLOW_OOM
        + """
-- Deletes an entry with its inline payload, and remembers its id permanently. KEYS: stream. ARGV: entry id.
-- Returns 1, or 0 if there is no such entry, and then nothing is remembered.
-- Keeps promise 6: one step, so that an erased event is never taken for a lost one.
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('SADD', '{' .. KEYS[1] .. '}:$TOMBSTONES_KEY', ARGV[1])
return 1
"""
    )
)

# For scripts in which ``base`` begins the keys of the stream.
WAS_ERASED = """
-- Whether an entry that has left the stream was erased.
local function was_erased(id) return redis.call('SISMEMBER', base .. '$TOMBSTONES_KEY', id) == 1 end
"""
