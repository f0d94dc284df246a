"""What is noted of the attempts at a pending entry, beside the server's delivery count.

A note is ``F/L/A/M``: recorded failures, the attempt of the last one, ends alone, and the attempt that is marked as
running alone (0: none). If the event was redriven, another slash and how often follow. After a failure, another slash,
the type of its error (a name) and, each after a newline, the lines of its place follow. A mark of an earlier attempt is
an end alone that nobody has counted yet. A note that knows of more attempts than the server has counted belongs to an
earlier group of this name, and is ignored (promise 5).
"""

import re

_NUMBERS = 4
_REDRIVES = re.compile(rb"\A/(\d+)")

# For scripts in which ``notes`` is the key of the hash; ``count`` is the delivery count of the attempt it is about.
NOTES = """
-- Returns failures, last failed attempt, ends alone, marked attempt, and the rest: redrives and the last failure.
local function noted(id, count)
  local note = redis.call('HGET', notes, id) or ''
  local failures, last, alone, marked, rest = string.match(note, '^(%d+)/(%d+)/(%d+)/(%d+)(.*)$$')
  if not failures or tonumber(last) > count or tonumber(marked) > count then return 0, 0, 0, 0, '' end
  return tonumber(failures), tonumber(last), tonumber(alone), tonumber(marked), rest
end

local function note(id, failures, last, alone, marked, rest)
  redis.call('HSET', notes, id, string.format('%d/%d/%d/%d', failures, last, alone, marked) .. rest)
end

-- Returns what the rest of a note says of redrives.
local function redrives_in(rest) return string.match(rest, '^/%d+') or '' end

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
    failure = _REDRIVES.sub(b"", _rest(note))
    if not failures or not failure:
        return failures, "", ()
    error, *place = failure[1:].decode(errors="replace").split("\n")
    return failures, error, tuple(place)


def redrives(note: bytes | None) -> int:
    """Read of a note how often the event was redriven."""
    found = _REDRIVES.match(_rest(note))
    return 0 if found is None else int(found[1])


def _rest(note: bytes | None) -> bytes:
    """Return what follows the four numbers of a note, its slash included."""
    return b"".join(b"/" + each for each in (note or b"").split(b"/", _NUMBERS)[_NUMBERS:])
