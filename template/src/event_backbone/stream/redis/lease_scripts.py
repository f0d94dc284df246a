"""The scripts of leases. A lease is (member, delivery count), and only XPENDING knows both."""

from event_backbone.connection import Script
from event_backbone.stream.redis.notes import NOTES
from event_backbone.stream.values import WAITING_CONSUMER

# What ends or hands back a lease must work on a full server, too: it frees, or it writes a few bytes.
_ALLOW_OOM = "#!lua flags=allow-oom\n"

# Sets owned, the ids whose lease holds, and lost, the others. The leases come in order, so one XPENDING over their
# range is the rule; single questions remain for a member that has far more pending within it.
_OWNED = (
    """
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, member, ids, attempts, again = message[1], message[2], message[3], message[4], message[5]
local base = '{' .. stream .. '}:'
local notes, due = base .. 'attempts:' .. group, base .. 'due:' .. group
"""
    f"local WAITING = '{WAITING_CONSUMER}'\n"
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

# When the message says that this is a repetition after a lost answer, an entry that is pending for nobody counts as
# finished by the first call.
_FINISHED_COUNTS_AS_DONE = """
if again then
  local others = {}
  for _, id in ipairs(lost) do
    if redis.call('XPENDING', stream, group, id, id, 1)[1] then others[#others + 1] = id end
  end
  lost = others
end
"""

# Gives an entry to the reserved consumer with this count, and says when it is due; false when it has left the stream.
_PARK_ONE = """
local function now_milliseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function park(id, count, at)
  local given = redis.call('XCLAIM', stream, group, WAITING, 0, id, 'RETRYCOUNT', count, 'JUSTID')
  if #given == 0 then
    redis.call('HDEL', notes, id)
    return false
  end
  redis.call('ZADD', due, at, id)
  return true
end
"""

ACK = Script(
    _ALLOW_OOM
    + _OWNED
    + _FINISHED_COUNTS_AS_DONE
    + """
if #owned > 0 then
  redis.call('XACK', stream, group, unpack(owned))
  redis.call('HDEL', notes, unpack(owned))
end
return lost
"""
)

PARK = Script(
    _ALLOW_OOM
    + _OWNED
    + _PARK_ONE
    + """
local id, attempt, after, most = owned[1], attempts[1], message[6], message[7]
if not id then return again and 'parked' or 'lost' end
if most >= 0 and redis.call('ZCARD', due) >= most then return 'full' end
if not park(id, attempt, now_milliseconds() + after) then return 'vanished' end
local failures, _, alone, marked = noted(id, attempt)
note(id, failures + 1, attempt, ends_alone(alone, marked, attempt), 0)
return 'parked'
"""
)

RELEASE = Script(
    _ALLOW_OOM
    + _OWNED
    + _PARK_ONE
    + """
local attempt_of, now = {}, now_milliseconds()
for i, id in ipairs(ids) do attempt_of[id] = attempts[i] end
for _, id in ipairs(owned) do
  local attempt = attempt_of[id]
  local failures, last, alone, marked = noted(id, attempt)
  if park(id, attempt - 1, now) and marked == attempt then note(id, failures, last, alone, 0) end
end
return again and {} or lost
"""
)

MARK_ALONE = Script(
    _OWNED
    + """
local id, attempt = owned[1], attempts[1]
if id then
  local failures, last, alone, marked = noted(id, attempt)
  note(id, failures, last, ends_alone(alone, marked, attempt), attempt)
end
return lost
"""
)

UNMARK_ALONE = Script(
    _ALLOW_OOM
    + _OWNED
    + """
local id, attempt = owned[1], attempts[1]
if id then
  local failures, last, alone, marked = noted(id, attempt)
  if marked == attempt then note(id, failures, last, alone, 0) end
end
return lost
"""
)

# XADD may be refused (out of memory), and then nothing is acked.
DEAD_LETTER = Script(
    _OWNED
    + _FINISHED_COUNTS_AS_DONE
    + """
local id = owned[1]
if id then
  local entry = redis.call('XRANGE', stream, id, id)[1]
  local letter = entry and entry[2] or {}
  local about = {'dead:source', id, 'dead:attempts', attempts[1],
    'dead:reason', message[6], 'dead:detail', message[7], 'dead:error', message[8]}
  for _, part in ipairs(about) do letter[#letter + 1] = part end
  redis.call('XADD', base .. 'dead:' .. group, '*', unpack(letter))
  redis.call('XACK', stream, group, id)
  redis.call('HDEL', notes, id)
end
return lost
"""
)
