"""The scripts that act on leases. A lease is (member, delivery count), and only XPENDING knows both."""

from event_backbone.connection import ALLOW_OOM, Script
from event_backbone.stream.redis.attempt_notes import NOTES
from event_backbone.stream.redis.follow_up_records import FOLLOW_UPS, FORGET
from event_backbone.stream.redis.tombstones import WAS_ERASED
from event_backbone.wire.lua import with_names

# Every message begins with: group, member, entry ids in order, their attempts (delivery counts), and whether this call
# is repeated, because the answer to an earlier one with the same leases was lost. KEYS: stream.
# Whatever a script does, it keeps promise 4 by ``_OWNED``: it acts only on entries that are pending under this member's
# name with this delivery count.

# Sets owned, the ids whose lease is still this member's, and lost, the others. The ids come in order, so one XPENDING
# over their range is the rule; single questions remain for a member that has far more pending within it.
_OWNED = (
    """
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, member, ids, attempts, repeated = message[1], message[2], message[3], message[4], message[5]
local base = '{' .. stream .. '}:'
local notes, due = base .. '$ATTEMPTS_KEY:' .. group, base .. '$DUE_KEY:' .. group
local WAITING = '$WAITING_CONSUMER'
"""
    + NOTES
    + """
local limit = 2 * #ids + 16
local rows, counts = redis.call('XPENDING', stream, group, ids[1], ids[#ids], limit, member), {}
for _, row in ipairs(rows) do counts[row[1]] = row[4] end
local owned, lost = {}, {}
for i, id in ipairs(ids) do
  local count = counts[id]
  if not count and #rows == limit then
    local row = redis.call('XPENDING', stream, group, id, id, 1, member)[1]
    count = row and row[4]
  end
  if count == attempts[i] then
    owned[#owned + 1] = id
  else
    lost[#lost + 1] = id
  end
end
"""
)

# In a repeated call, an entry that is pending for nobody was finished by the first call, so it is not lost.
_FINISHED_COUNTS_AS_DONE = """
if repeated then
  local others = {}
  for _, id in ipairs(lost) do
    if redis.call('XPENDING', stream, group, id, id, 1)[1] then others[#others + 1] = id end
  end
  lost = others
end
"""

# Gives an entry to the reserved consumer with this delivery count, and writes when it is due; false when it has left
# the stream. Both in one step, so that what is pending for the reserved consumer always has a due time (promise 5).
_PARK_ONE = (
    FORGET
    + """
local function now_milliseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function park(id, count, at)
  local given = redis.call('XCLAIM', stream, group, WAITING, 0, id, 'RETRYCOUNT', count, 'JUSTID')
  if #given == 0 then
    forget({id})
    return false
  end
  redis.call('ZADD', due, at, id)
  return true
end

-- Parks an entry as it was before this attempt; a mark of running alone goes with the attempt.
local function give_back(id, attempt, at)
  local failures, last, alone, marked, rest = noted(id, attempt)
  if not park(id, attempt - 1, at) then return false end
  if marked == attempt then note(id, failures, last, alone, 0, rest) end
  return true
end
"""
)


def _script(*parts: str) -> Script:
    return Script(with_names("".join(parts)))


ACK = _script(
    ALLOW_OOM,
    """
-- Finishes entries: they are no longer pending, and no notes of them or of their follow-up events remain.
-- Returns the ids whose lease was lost; an entry that somebody else finished is among them.
-- Keeps promise 3: only who holds the lease acks, so an ack never ends another member's delivery.
""",
    _OWNED,
    _FINISHED_COUNTS_AS_DONE,
    FORGET,
    """
if #owned > 0 then
  redis.call('XACK', stream, group, unpack(owned))
  forget(owned)
end
return lost
""",
)

PARK = _script(
    ALLOW_OOM,
    """
-- Notes a failure of one attempt, and parks its entry until it is due; or gives the attempt back, which counts nothing.
-- The message goes on with: milliseconds until it is due, how many entries of the group may be parked (-1: any number),
-- whether the attempt failed, and the type and place of its error, as lines.
-- Returns "parked"; "full" or "lost" (nothing was changed); or "vanished" or "erased" (the entry has left the stream
-- and is ended).
-- Keeps promise 5: failure, parking and due time are one step, and the delivery count stays. In a repeated call, what
-- is no longer this member's was parked by the first call.
""",
    _OWNED,
    _PARK_ONE,
    WAS_ERASED,
    """
local id, attempt, after, most, failed = owned[1], attempts[1], message[6], message[7], message[8]
if not id then return repeated and 'parked' or 'lost' end
if most >= 0 and redis.call('ZCARD', due) >= most then return 'full' end
local at = now_milliseconds() + after
local given = failed and park(id, attempt, at) or not failed and give_back(id, attempt, at)
if not given then return was_erased(id) and 'erased' or 'vanished' end
if not failed then return 'parked' end
local failures, _, alone, marked, rest = noted(id, attempt)
note(id, failures + 1, attempt, ends_alone(alone, marked, attempt), 0, redrives_in(rest) .. '/' .. message[9])
return 'parked'
""",
)

RELEASE = _script(
    ALLOW_OOM,
    """
-- Gives entries back to the group: parked, due now, with the delivery count before this attempt. Marks go with it.
-- Returns the ids whose lease was lost; none in a repeated call, where they were released by the first call.
-- Keeps promise 8: a stop costs no attempt, and others begin what was released within a second.
""",
    _OWNED,
    _PARK_ONE,
    """
local attempt_of, now = {}, now_milliseconds()
for i, id in ipairs(ids) do attempt_of[id] = attempts[i] end
for _, id in ipairs(owned) do give_back(id, attempt_of[id], now) end
return repeated and {} or lost
""",
)

MARK_ALONE = _script(
    """
-- Notes that this attempt runs as the only one of its member.
-- Returns the ids whose lease was lost.
-- Keeps promise 5: an event is blamed for the end of its process only while it is marked.
""",
    _OWNED,
    """
local id, attempt = owned[1], attempts[1]
if id then
  local failures, last, alone, marked, rest = noted(id, attempt)
  note(id, failures, last, ends_alone(alone, marked, attempt), attempt, rest)
end
return lost
""",
)

UNMARK_ALONE = _script(
    ALLOW_OOM,
    """
-- Takes the mark of this attempt back: others run beside it from now on.
-- Returns the ids whose lease was lost.
-- Keeps promise 5, as MARK_ALONE does.
""",
    _OWNED,
    """
local id, attempt = owned[1], attempts[1]
if id then
  local failures, last, alone, marked, rest = noted(id, attempt)
  if marked == attempt then note(id, failures, last, alone, 0, rest) end
end
return lost
""",
)

DEAD_LETTER = _script(
    """
-- Copies one entry, without an inline payload, to the dead letters of the group, with the reason, and acks it. Of an
-- entry that has left the stream the dead letter holds no fields. The dead letter of a redriven entry is that of its
-- event. What is kept of follow-up events stays, so that a redrive does not repeat them.
-- The message goes on with: reason, detail, error type, place.
-- Returns the ids whose lease was lost.
-- Keeps promise 5: both in one step. A full server refuses XADD, which comes first, and then nothing is acked.
""",
    _OWNED,
    _FINISHED_COUNTS_AS_DONE,
    """
local id = owned[1]
if id then
  local entry = redis.call('XRANGE', stream, id, id)[1]
  local fields, letter = entry and entry[2] or {}, {}
  local redriven = base .. '$REDRIVEN_KEY:' .. group
  local source = redis.call('HGET', redriven, id) or id
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name == '$REDRIVEN_FIELD' then
      source = string.match(value, '^(%d+%-%d+) ') or source
    elseif string.sub(name, 1, #'$INLINE_PREFIX') ~= '$INLINE_PREFIX' then
      letter[#letter + 1] = name == '$REDRIVEN_METADATA_FIELD' and '$METADATA_FIELD' or name
      letter[#letter + 1] = value
    end
  end
  local about = {'$DEAD_LETTER_SOURCE', source, '$DEAD_LETTER_ATTEMPTS', attempts[1],
    '$DEAD_LETTER_REASON', message[6], '$DEAD_LETTER_DETAIL', message[7], '$DEAD_LETTER_ERROR', message[8],
    '$DEAD_LETTER_PLACE', message[9]}
  for _, part in ipairs(about) do letter[#letter + 1] = part end
  local redrives = string.match(select(5, noted(id, attempts[1])), '^/(%d+)')
  if redrives then
    letter[#letter + 1], letter[#letter + 2] = '$DEAD_LETTER_REDRIVES', redrives
  end
  redis.call('XADD', base .. '$DEAD_LETTERS_KEY:' .. group, '*', unpack(letter))
  redis.call('XACK', stream, group, id)
  redis.call('HDEL', notes, id)
  redis.call('HDEL', redriven, id)
end
return lost
""",
)

RESERVE_FOLLOW_UP = _script(
    """
-- Keeps an event id for a follow-up event of one entry, unless one is kept already.
-- The message goes on with: "<URI> <event> <label>", the event id, the event id that it may replace ("": none).
-- Returns {event id, key ("": not noted)} as they are kept then; nil if the lease was lost, and nothing was changed.
-- Keeps promise 2: whoever attempts the entry appends under the id that is kept, and an attempt that has ended reserves
-- nothing. So what is kept is only ever kept of entries that are pending or dead letters.
""",
    _OWNED,
    FOLLOW_UPS,
    """
local id, follow_up, event_id, instead_of = owned[1], message[6], message[7], message[8]
if not id then return nil end
id = kept_by(id)
local lines = redis.call('HGET', once, id) or ''
local before, after, kept, key = find_line(lines, follow_up)
if not before then
  before, after = lines .. follow_up .. ' ', ''
elseif kept ~= instead_of or key ~= '' then
  return {kept, key}
end
redis.call('HSET', once, id, before .. event_id .. '\\n' .. after)
return {event_id, ''}
""",
)

NOTE_FOLLOW_UP = _script(
    ALLOW_OOM,
    """
-- Notes the key of a follow-up event, unless nothing or another event id is kept of it by now.
-- KEYS: stream. Message: group, id of the entry that was handled, "<URI> <event> <label>", event id, key.
-- Needs no lease: the event is in its stream, so whoever attempts the entry now must learn its key.
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, id, follow_up, event_id, key = unpack(message)
local base = '{' .. stream .. '}:'
""",
    FOLLOW_UPS,
    """
id = kept_by(id)
local before, after, kept = find_line(redis.call('HGET', once, id) or '', follow_up)
if kept ~= event_id then return 0 end
redis.call('HSET', once, id, before .. event_id .. ' ' .. key .. '\\n' .. after)
return 1
""",
)
