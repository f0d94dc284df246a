"""The scripts that move a consumer group to another place in its stream, or delete it with all that is kept of it."""

from event_backbone.connection import ALLOW_OOM, Script
from event_backbone.stream.redis.entry_ids import ABOVE, LAST_ID
from event_backbone.wire.lua import with_names


def _script(*parts: str) -> Script:
    return Script(with_names("".join(parts)))


# Needs ``stream`` and ``group``.
_ABOUT_GROUP = """
-- Returns what the server says of the group; nil without it.
local function about_group()
  if redis.call('EXISTS', stream) == 0 then return nil end
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local about = {}
    for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
    if about['name'] == group then return about end
  end
end

local function now_milliseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
"""

PLACE = _script(
    """
-- Returns {id of the last entry that the group was given, how many it has read (nil: unknown), id of the newest entry
-- there ever was}; nil without the group. KEYS: stream. ARGV: group.
local stream, group = KEYS[1], ARGV[1]
""",
    _ABOUT_GROUP,
    LAST_ID,
    """
local about = about_group()
return about and {about['last-delivered-id'], about['entries-read'], last_id(stream)}
""",
)

COUNT = _script("""
-- Counts entries. KEYS: stream. ARGV: id after which to begin, the last id, how many at most, group.
-- Returns {id of the last entry counted ("": none), number of entries, how many of these are events for the group}:
-- those that were redriven for others are not.
local entries, events = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], ARGV[2], 'COUNT', ARGV[3]), 0
for _, entry in ipairs(entries) do
  local for_others = false
  for i = 1, #entry[2], 2 do
    if entry[2][i] == '$REDRIVEN_FIELD' then for_others = string.match(entry[2][i + 1], '^%S+ (.*)$$') ~= ARGV[4] end
  end
  if not for_others then events = events + 1 end
end
local last = entries[#entries]
return {last and last[1] or '', #entries, events}
""")

MOVE = _script(
    ALLOW_OOM,
    """
-- Lets a group read on after an entry id, and gives up what is pending after it; with too much of that it changes
-- nothing.
-- KEYS: stream. ARGV: group, entry id, how many pending entries at most, how many entries the group has read up to the
-- id (-1: unknown).
-- Returns {0, how many were given up, how many of these have left the stream}; {1, id, 0} if there are too many: move
-- the group to that id first; {2, 0, 0} if a restore or migration is under way; nil without the group.
-- Keeps promise 3: both in one step, so an entry is never neither pending nor still to be read.
-- Keeps promise 4: rows are ended so that each member compares at its next look, and what they have before the id is
-- held for them until they have, as after a silence.
local stream, group, id, most, read = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local base, call = '{' .. stream .. '}:', redis.call
local state = base .. '$GROUP_KEY:' .. group
""",
    ABOVE,
    _ABOUT_GROUP,
    """
-- Notes what the group skips. A move back undoes that from its place on.
local function note_skipped(delivered)
  local after, until_id = unpack(call('HMGET', state, '$SKIPPED_AFTER_FIELD', '$SKIPPED_UNTIL_FIELD'))
  if above(id, delivered) then
    if until_id ~= delivered then call('HSET', state, '$SKIPPED_AFTER_FIELD', delivered) end
    call('HSET', state, '$SKIPPED_UNTIL_FIELD', id)
  elseif after and not above(id, after) then
    call('HDEL', state, '$SKIPPED_AFTER_FIELD', '$SKIPPED_UNTIL_FIELD')
  elseif after and above(until_id, id) then
    call('HSET', state, '$SKIPPED_UNTIL_FIELD', id)
  end
end

local about = about_group()
if call('EXISTS', base .. '$RESTORE_KEY') == 1 then return {2, 0, 0} end
if not about then return nil end
local rows = call('XPENDING', stream, group, '(' .. id, '+', most + 1)
if #rows > most then return {1, rows[math.ceil(most / 2)][1], 0} end

local ids, vanished, in_flight = {}, 0, false
for i, row in ipairs(rows) do
  ids[i] = row[1]
  in_flight = in_flight or row[2] ~= '$WAITING_CONSUMER'
  if #call('XRANGE', stream, row[1], row[1]) == 0 then vanished = vanished + 1 end
end
if #ids > 0 then
  local once, redriven = base .. '$ONCE_KEY:' .. group, base .. '$REDRIVEN_KEY:' .. group
  for _, source in ipairs(call('HMGET', redriven, unpack(ids))) do
    if source then call('HDEL', once, source) end
  end
  call('HDEL', once, unpack(ids))
  call('HDEL', base .. '$ATTEMPTS_KEY:' .. group, unpack(ids))
  call('ZREM', base .. '$DUE_KEY:' .. group, unpack(ids))
  call('XACK', stream, group, unpack(ids))
end
if in_flight then
  local now, members = now_milliseconds(), base .. '$MEMBERS_KEY:' .. group
  local longest = tonumber(call('HGET', state, '$LONGEST_LEASE_FIELD')) or 0
  call('HSET', state, '$HOLD_FIELD', now + math.floor(math.min(10000, longest / 2)))
  for _, name in ipairs(call('ZRANGE', members, '(' .. now, '+inf', 'BYSCORE')) do call('ZADD', members, now, name) end
end
note_skipped(about['last-delivered-id'])
if tonumber(read) >= 0 then
  call('XGROUP', 'SETID', stream, group, id, 'ENTRIESREAD', read)
else
  call('XGROUP', 'SETID', stream, group, id)
end
return {0, #ids, vanished}
""",
)

DELETE = _script(
    ALLOW_OOM,
    """
-- Deletes a group and all that is kept of it, unless a member of it is alive, or it has dead letters that are to stay.
-- KEYS: stream. ARGV: group, whether to delete dead letters, whether to delete at all (each 1 or 0).
-- Returns {1 if there was a group or anything kept of one, else 0; living members; pending; parked; dead letters}; nil,
-- and nothing was deleted, if a restore or migration is under way.
-- One step, so that no consumer finds half of a group.
local stream, group = KEYS[1], ARGV[1]
local base, call = '{' .. stream .. '}:', redis.call
""",
    _ABOUT_GROUP,
    """
if call('EXISTS', base .. '$RESTORE_KEY') == 1 then return nil end
local about, dead = about_group(), base .. '$DEAD_LETTERS_KEY:' .. group
local members, due = base .. '$MEMBERS_KEY:' .. group, base .. '$DUE_KEY:' .. group
local keys = {members, due, dead, base .. '$ATTEMPTS_KEY:' .. group, base .. '$GROUP_KEY:' .. group,
  base .. '$ONCE_KEY:' .. group, base .. '$REDRIVEN_KEY:' .. group}
local exists = (about or call('EXISTS', unpack(keys)) > 0) and 1 or 0
local alive = about and call('ZCOUNT', members, '(' .. now_milliseconds(), '+inf') or 0
local letters = call('XLEN', dead)
local found = {exists, alive, about and about['pending'] or 0, call('ZCARD', due), letters}
if ARGV[3] == '0' or alive > 0 or (letters > 0 and ARGV[2] == '0') then return found end
if about then call('XGROUP', 'DESTROY', stream, group) end
call('UNLINK', unpack(keys))
return found
""",
)
