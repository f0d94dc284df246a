"""What is kept of the follow-up events of pending and dead-lettered entries.

The hash ``{<stream>}:once:<group>`` has one field for each handled entry, so that deleting what is kept of an entry is
one HDEL. Its value has one line for each follow-up event: ``<URI> <event> <label> <event id>``, and once the event is
in its stream a space and its key. No part contains a space, so a line is found by how it begins.
"""

from event_backbone.model import EventKey, FollowUp


def follow_up_line(follow_up: FollowUp, event_id: str, key: EventKey | None) -> str:
    """Return the line of a follow-up event, with its newline."""
    return " ".join((*follow_up, event_id) if key is None else (*follow_up, event_id, str(key))) + "\n"


# Both need ``base`` and ``group``.
FORGET = """
-- Deletes what is kept of entries that end: notes on their attempts, and follow-up events.
local function forget(ids)
  local notes, once = base .. '$ATTEMPTS_KEY:' .. group, base .. '$ONCE_KEY:' .. group
  if redis.call('EXISTS', notes, once) > 0 then
    redis.call('HDEL', notes, unpack(ids))
    redis.call('HDEL', once, unpack(ids))
  end
end
"""

FOLLOW_UPS = """
local once = base .. '$ONCE_KEY:' .. group

-- Returns the line of a follow-up event in the lines of its entry: what comes before and after the line's end, which is
-- event id and key; then these two. Nothing if it has no line.
local function find_line(lines, follow_up)
  local _, last = string.find('\\n' .. lines, '\\n' .. follow_up .. ' ', 1, true)
  if not last then return end
  local event_id, key, after = string.match(lines, '^(%S+) ?(%S*)\\n()', last)
  return string.sub(lines, 1, last - 1), string.sub(lines, after), event_id, key
end
"""
