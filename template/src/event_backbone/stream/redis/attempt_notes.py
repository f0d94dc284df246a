"""What is noted of the attempts at a pending entry, beside the server's delivery count.

A note is ``F/L/A/M``: recorded failures, the attempt of the last one, ends alone, and the attempt that is marked as
running alone (0: none). After a failure, another slash, the type of its error and, each after a newline, the lines of
its place follow. A mark of an earlier attempt is an end alone that nobody has counted yet. A note that knows of
more attempts than the server has counted belongs to an earlier group of this name, and is ignored (promise 5).
"""

_NUMBERS = 4

# For scripts in which ``notes`` is the key of the hash; ``count`` is the delivery count of the attempt it is about.
NOTES = """
-- Returns failures, last failed attempt, ends alone, marked attempt, and what is noted of the last failure.
local function noted(id, count)
  local note = redis.call('HGET', notes, id) or ''
  local failures, last, alone, marked, failure = string.match(note, '^(%d+)/(%d+)/(%d+)/(%d+)(.*)$$')
  if not failures or tonumber(last) > count or tonumber(marked) > count then return 0, 0, 0, 0, '' end
  return tonumber(failures), tonumber(last), tonumber(alone), tonumber(marked), failure
end

local function note(id, failures, last, alone, marked, failure)
  redis.call('HSET', notes, id, string.format('%d/%d/%d/%d', failures, last, alone, marked) .. failure)
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
    failures, last, alone, marked = map(int, note.split(b"/", _NUMBERS)[:_NUMBERS])
    if last > attempt or marked > attempt:
        return 0, 0
    return failures, alone + (0 < marked < attempt)


def failed_attempts(note: bytes | None, attempt: int) -> tuple[int, str, tuple[str, ...]]:
    """Read of a note, seen from ``attempt``: how many attempts failed, the type of the last error, and its place."""
    failures, _ = failures_and_ends_alone(note, attempt)
    parts = (note or b"").split(b"/", _NUMBERS)
    if not failures or len(parts) <= _NUMBERS:
        return failures, "", ()
    error, *place = parts[_NUMBERS].decode(errors="replace").split("\n")
    return failures, error, tuple(place)
