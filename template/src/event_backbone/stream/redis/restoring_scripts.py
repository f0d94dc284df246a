"""The scripts that build a stream beside the live one, up to the one that puts it into its place (``swap_script``).

Every message begins with: token of the restore, number of the call. KEYS: stream. All keys are in its slot.
"""

from event_backbone.connection import ALLOW_OOM, Script
from event_backbone.stream.redis.entry_ids import ABOVE, ENTRY_ID, EVENT_IDS, LAST_ID
from event_backbone.wire.lua import with_names

OTHER = b"OTHER"
"""A script's answer to a token that is no longer the holder's."""

LOST = b"LOST"
"""A script's answer when earlier calls, or all that was built, are missing."""

HOLDER = """
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local token, step = message[1], message[2]
local base = '{' .. stream .. '}:'
local restoring, state = base .. '$RESTORING_KEY', base .. '$RESTORING_STATE_KEY'
local call = redis.call
if call('GET', base .. '$RESTORE_KEY') ~= token then return 'OTHER' end
"""

# Only the call after the last one, or the last one again, may run: a failover that lost a call makes no gap.
IN_ORDER = """
local done = tonumber(call('HGET', state, '$STEP_FIELD') or -1)
if done ~= step and done ~= step - 1 then return 'LOST' end
call('HSET', state, '$STEP_FIELD', step)
"""

# Needs ``base``. What live entries were moved to stays: a later restore must not take them for duplicates (see COPY).
_REMOVE = """
local function remove()
  local groups = base .. '$RESTORING_GROUPS_KEY'
  for _, group in ipairs(redis.call('SMEMBERS', groups)) do
    redis.call('UNLINK', base .. '$RESTORING_DUE_KEY:' .. group, base .. '$RESTORING_DEAD_LETTERS_KEY:' .. group,
      base .. '$RESTORING_ONCE_KEY:' .. group)
  end
  redis.call('UNLINK', base .. '$RESTORING_KEY', base .. '$RESTORING_STATE_KEY', base .. '$RESTORING_DUPLICATES_KEY',
    groups)
end
"""


def restoring_script(*parts: str) -> Script:
    """Return a script of these parts, with its names filled in."""
    return Script(with_names("".join(parts)))


BEGIN = restoring_script(
    ALLOW_OOM,
    """
-- Takes the lock, removes what earlier restores left, and creates an empty stream. Also on a full server, which may be
-- full of what was left. KEYS: stream. ARGV: token, milliseconds.
-- Returns 1; 0 if another restore has the lock.
local base = '{' .. KEYS[1] .. '}:'
local restore, restoring = base .. '$RESTORE_KEY', base .. '$RESTORING_KEY'
""",
    _REMOVE,
    """
local holder = redis.call('GET', restore)
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', restore, ARGV[1], 'PX', ARGV[2])
remove()
redis.call('XGROUP', 'CREATE', restoring, 'none', '0-0', 'MKSTREAM')
redis.call('XGROUP', 'DESTROY', restoring, 'none')
redis.call('HSET', base .. '$RESTORING_STATE_KEY', '$STEP_FIELD', 0)
return 1
""",
)

RENEW = restoring_script(
    ALLOW_OOM,
    """
-- Renews the lock. KEYS: stream. ARGV: token, milliseconds. Returns 1, or "OTHER".
local restore = '{' .. KEYS[1] .. '}:$RESTORE_KEY'
if redis.call('GET', restore) ~= ARGV[1] then return 'OTHER' end
return redis.call('PEXPIRE', restore, ARGV[2])
""",
)

END = restoring_script(
    ALLOW_OOM,
    """
-- Removes what was built and is not in its place, and gives up the lock; if it is the holder's.
-- KEYS: stream. ARGV: token.
local base = '{' .. KEYS[1] .. '}:'
""",
    _REMOVE,
    """
if redis.call('GET', base .. '$RESTORE_KEY') ~= ARGV[1] then return 0 end
remove()
return redis.call('DEL', base .. '$RESTORE_KEY')
""",
)

REMEMBER = restoring_script(
    """
-- Remembers event ids as the append script does, whatever was remembered of them before.
-- The message goes on, flat, with: for how many milliseconds from now; for each second of the ids: the second, and
-- {the last 12 bytes of each id and what is remembered of it}. {items} are their number, and the items.
-- Keeps promise 2: a producer that repeats a call gets the key of the archived event.
""",
    HOLDER,
    IN_ORDER,
    """
local time = call('TIME')
local expires = time[1] * 1000 + math.floor(time[2] / 1000) + message[3]
local at = 4
while message[at] do
  local key, last = base .. '$SEEN_KEY:' .. message[at], at + 1 + message[at + 1]
  call('HSET', key, unpack(message, at + 2, last))
  if call('PEXPIRETIME', key) < expires then call('PEXPIREAT', key, string.format('%.0f', expires)) end
  at = last + 1
end
return 1
""",
)

ADD = restoring_script(
    """
-- Adds archived entries under their own ids, in order, with their payload hashes.
-- The message goes on, flat, with: number of entries; for each entry: id, {metadata, more fields and their values},
-- number of writes; for each write: purpose of its key, after how many milliseconds it expires (0: never), {fields and
-- their values}. {items} are their number, and the items.
-- An entry that is not above the last one is skipped: it was added by a call whose answer was lost.
-- Keeps promise 6: neither an erased hash is written again, nor an entry whose inline payload was erased.
-- Hashes come first: one that is refused, as its key is of another type, ends the script, and a repeated call goes on.
""",
    HOLDER,
    IN_ORDER,
    ABOVE,
    LAST_ID,
    """
local unpack = unpack
local last, at, ahead = last_id(restoring), 4, false
for _ = 1, message[3] do
  local id, from, to = message[at], at + 2, at + 1 + message[at + 1]
  at = to + 2
  ahead = ahead or above(id, last)
  local wanted = ahead and (from == to or call('SISMEMBER', base .. '$TOMBSTONES_KEY', id) == 0)
  for _ = 1, message[to + 1] do
    local key, expires, fields, till = base .. message[at], message[at + 1], at + 3, at + 2 + message[at + 2]
    at = till + 1
    if wanted and call('HEXISTS', key, '$ERASED_FIELD') == 0 then
      call('HSET', key, unpack(message, fields, till))
      if expires > 0 then call('PEXPIRE', key, expires) end
    end
  end
  if wanted then
    call('XADD', restoring, id, '$FORMAT_FIELD', '$WIRE_FORMAT', '$METADATA_FIELD', unpack(message, from, to))
  end
end
return 1
""",
)

# Needs HOLDER.
COPY = (
    ABOVE
    + LAST_ID
    + ENTRY_ID
    + EVENT_IDS
    + """
local moves, duplicates = base .. '$RESTORING_MOVED_KEY', base .. '$RESTORING_DUPLICATES_KEY'
local last = last_id(restoring)
local moved_before = call('EXISTS', moves) == 1
local copied, skipped, moved = 0, 0, 0

-- Copies a live entry unless its event is there already. It keeps its id if that is above the last one; otherwise, as
-- after a failover to a server whose clock is behind, it gets the next id, which is remembered of its event.
-- What is remembered is not of another entry if an earlier restore, which did not come to its end, moved this one.
-- A redriven entry is left out: its event is restored, and what was saved of the group says whether it is finished.
local function copy(id, fields)
  if field_of(fields, '$REDRIVEN_FIELD') then return end
  local second, rest = event_id_of(fields)
  local known = second and seen(second, rest)
  local earlier = moved_before and call('HGET', moves, id)
  if known and known ~= id and known ~= earlier then
    call('HSET', duplicates, id, known)
    skipped = skipped + 1
    return
  end
  local keeps = above(id, last)
  if not keeps and has_event(restoring, id, fields) then
    skipped = skipped + 1
    return
  end
  if keeps then
    last = call('XADD', restoring, id, unpack(fields))
    if earlier then call('HDEL', moves, id) end
  else
    last = call('XADD', restoring, string.match(last, '^%d+') .. '-*', unpack(fields))
    call('HSET', moves, id, last)
    moved = moved + 1
  end
  copied = copied + 1
  if known and known ~= last then
    local milliseconds, sequence = string.match(last, '^(%d+)(.*)$$')
    local after = string.format('%.0f', milliseconds - second * 1000)
    call('HSET', seen_key(second), rest, sequence == '-0' and after or after .. sequence)
  end
end

-- Copies entries, and notes the last one. None gets an id up to the last one that is committed in the archive, which no
-- archiver reads any more.
local function copy_all(entries, committed)
  if above(committed, last) then
    call('XSETID', restoring, committed)
    last = committed
  end
  for _, entry in ipairs(entries) do copy(entry[1], entry[2]) end
  if #entries > 0 then call('HSET', state, '$COPIED_FIELD', entries[#entries][1]) end
end
"""
)

COPY_LIVE = restoring_script(
    """
-- Copies the next live entries. The message goes on with: id of the last one committed in the archive, how many.
-- What a call whose answer was lost has copied is not copied again.
-- Returns {copied, skipped, moved, 1 if there are more}.
-- Keeps promise 2: an event that is in the archive and was produced again is not there twice.
""",
    HOLDER,
    IN_ORDER,
    COPY,
    """
local committed, count = message[3], message[4]
local begin = call('HGET', state, '$COPIED_FIELD') or '0-0'
local entries = call('XRANGE', stream, '(' .. begin, '+', 'COUNT', count)
copy_all(entries, committed)
local to = #entries > 0 and entries[#entries][1] or begin
local more = #call('XRANGE', stream, '(' .. to, '+', 'COUNT', 1)
return {copied, skipped, moved, more}
""",
)
