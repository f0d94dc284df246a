"""The scripts of a restore that build what belongs to a group (``restoring_scripts`` says what all of them share)."""

from event_backbone.stream.redis.entry_ids import ABOVE, LAST_ID
from event_backbone.stream.redis.restoring_scripts import HOLDER, IN_ORDER, restoring_script

SET_GROUP = restoring_script(
    """
-- Creates a group, or sets its position, when that is not above the last entry.
-- The message goes on with: group, position. Returns 1.
-- With the number of entries that it has read the server knows how many it has not; counted only if those are few.
""",
    HOLDER,
    IN_ORDER,
    """
local group, position = message[3], message[4]
local left = #call('XRANGE', restoring, '(' .. position, '+', 'COUNT', 1001)
local read = left <= 1000 and call('XLEN', restoring) - left or -1
local made = redis.pcall('XGROUP', 'CREATE', restoring, group, position, 'ENTRIESREAD', read)
if type(made) == 'table' and made.err then call('XGROUP', 'SETID', restoring, group, position, 'ENTRIESREAD', read) end
return call('SADD', base .. '$RESTORING_GROUPS_KEY', group)
""",
)

SET_PENDING = restoring_script(
    """
-- Makes entries pending for the reserved consumer, due now, as if never delivered.
-- The message goes on with: group, entry ids. XCLAIM passes over entries that are not there.
-- Keeps promise 5: what is pending for the reserved consumer has a due time.
""",
    HOLDER,
    IN_ORDER,
    """
local group, ids = message[3], message[4]
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, option in ipairs({'RETRYCOUNT', 0, 'FORCE', 'JUSTID'}) do ids[#ids + 1] = option end
local given = call('XCLAIM', restoring, group, '$WAITING_CONSUMER', 0, unpack(ids))
for _, id in ipairs(given) do
  call('ZADD', base .. '$RESTORING_DUE_KEY:' .. group, string.format('%.0f', now), id)
end
return #given
""",
)

SET_DEAD_LETTERS = restoring_script(
    """
-- Adds dead letters under their own ids, in order; one that is not above the last one is skipped, as it is there.
-- The message goes on with: group, for each dead letter {id, fields and their values}.
""",
    HOLDER,
    IN_ORDER,
    ABOVE,
    LAST_ID,
    """
local dead = base .. '$RESTORING_DEAD_LETTERS_KEY:' .. message[3]
local last = last_id(dead)
for _, letter in ipairs(message[4]) do
  if above(letter[1], last) then last = call('XADD', dead, unpack(letter)) end
end
return 1
""",
)

SET_FOLLOW_UPS = restoring_script(
    """
-- Keeps follow-up events of the entries of a group, as in {<stream>}:once:<group>.
-- The message goes on with: group, ids of entries, each with its lines.
""",
    HOLDER,
    IN_ORDER,
    """
call('SADD', base .. '$RESTORING_GROUPS_KEY', message[3])
return call('HSET', base .. '$RESTORING_ONCE_KEY:' .. message[3], unpack(message[4]))
""",
)
