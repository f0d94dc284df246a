"""What is kept of the follow-up events of pending and dead-lettered entries.

The hash ``{<stream>}:once:<group>`` has one field for each handled entry, so that deleting what is kept of an entry is
one HDEL. For a redriven entry it is that of its event's own entry, as in earlier attempts. Its value has one line for
each follow-up event: ``<URI> <event> <label> <event id>``, and once the event is in its stream a space and its key. No
part contains a space, so a line is found by how it begins.
"""

from event_backbone.model import EventKey, FollowUp


def follow_up_line(follow_up: FollowUp, event_id: str, key: EventKey | None) -> str:
    """Return the line of a follow-up event, with its newline."""
    return " ".join((*follow_up, event_id) if key is None else (*follow_up, event_id, str(key))) + "\n"


# Both need ``base`` and ``group``.
FORGET = """
-- Deletes what is kept of entries that end: notes on their attempts, follow-up events, and that they are redriven.
local function forget(ids)
  local notes, once = base .. '$ATTEMPTS_KEY:' .. group, base .. '$ONCE_KEY:' .. group
  local redriven = base .. '$REDRIVEN_KEY:' .. group
  if redis.call('EXISTS', notes, once, redriven) > 0 then
    redis.call('HDEL', notes, unpack(ids))
    redis.call('HDEL', once, unpack(ids))
    for _, source in ipairs(redis.call('HMGET', redriven, unpack(ids))) do
      if source then redis.call('HDEL', once, source) end
    end
    redis.call('HDEL', redriven, unpack(ids))
  end
end
"""

FOLLOW_UPS = """
local once = base .. '$ONCE_KEY:' .. group

-- Returns the id by which follow-up events of an entry are kept: of a redriven one, that of its event's own entry.
local function kept_by(id) return redis.call('HGET', base .. '$REDRIVEN_KEY:' .. group, id) or id end

-- Returns the line of a follow-up event in the lines of its entry: what comes before and after the line's end, which is
-- event id and key; then these two. Nothing if it has no line.
local function find_line(lines, follow_up)
  local _, last = string.find('\\n' .. lines, '\\n' .. follow_up .. ' ', 1, true)
  if not last then return end
  local event_id, key, after = string.match(lines, '^(%S+) ?(%S*)\\n()', last)
  return string.sub(lines, 1, last - 1), string.sub(lines, after), event_id, key
end
"""
