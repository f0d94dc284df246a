"""What is noted of the attempts at a pending entry, beside the server's delivery count.

A note is ``F/L/A/M``: recorded failures, the attempt of the last one, ends alone, and the attempt that is marked as
running alone (0: none). A mark of an earlier attempt is an end alone that nobody has counted yet. A note that knows of
more attempts than the server has counted belongs to an earlier group of this name, and is ignored (promise 5).
"""

# For scripts in which ``notes`` is the key of the hash; ``count`` is the delivery count of the attempt it is about.
NOTES = """
-- Returns failures, last failed attempt, ends alone, marked attempt.
local function noted(id, count)
  local note = redis.call('HGET', notes, id) or ''
  local failures, last, alone, marked = string.match(note, '^(%d+)/(%d+)/(%d+)/(%d+)$$')
  if not failures or tonumber(last) > count or tonumber(marked) > count then return 0, 0, 0, 0 end
  return tonumber(failures), tonumber(last), tonumber(alone), tonumber(marked)
end

local function note(id, failures, last, alone, marked)
  redis.call('HSET', notes, id, string.format('%d/%d/%d/%d', failures, last, alone, marked))
end

-- Counts the mark of an attempt before this one as an end alone.
local function ends_alone(alone, marked, count)
  if marked ~= 0 and marked < count then return alone + 1 end
  return alone
end
"""


def failures_and_ends_alone(note: bytes | None, attempt: int) -> tuple[int, int]:
    """Read a note, seen from ``attempt``: how many earlier attempts failed, and how many ended alone."""
    if not note:
        return 0, 0
    failures, last, alone, marked = map(int, note.split(b"/"))
    if last > attempt or marked > attempt:
        return 0, 0
    return failures, alone + (0 < marked < attempt)
