"""The scripts that see what retention has to do: groups, dead letters, sizes, and payloads without an entry."""

from event_backbone.connection import ALLOW_OOM, Script
from event_backbone.stream.redis.entry_ids import ABOVE
from event_backbone.stream.redis.entry_payloads import HASHES
from event_backbone.wire.lua import with_names


def _script(*parts: str) -> Script:
    return Script(with_names("".join(parts)))


SURVEY = _script(
    ALLOW_OOM,
    """
-- Reads the state of a stream and of its groups. Notes when a group was first seen that no member has looked at. Where
-- the stream was trimmed by somebody else, it notes from where the stream has no gaps.
-- KEYS: stream. ARGV: token, or "" to note nothing.
-- Returns {the server's milliseconds, number of entries, bytes of the stream (0: unknown), id of the first entry ("":
-- none), id of the newest entry there ever was, complete-from (nil: not noted), 1 if a restore is under way, of each
-- group its name, looked, noticed, forgotten (each of these three nil if it is not noted), dead letters}.
local stream, token = KEYS[1], ARGV[1]
local base, call = '{' .. stream .. '}:', redis.call
local archive = base .. '$ARCHIVE_KEY'
""",
    ABOVE,
    """
local noting = token ~= '' and call('GET', base .. '$RETENTION_KEY') == token
local time = call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local function about(row)
  local named = {}
  for i = 1, #row, 2 do named[row[i]] = row[i + 1] end
  return named
end
local restoring = call('EXISTS', base .. '$RESTORE_KEY')
local complete = call('HGET', archive, '$COMPLETE_FROM_FIELD')
if call('EXISTS', stream) == 0 then return {now, 0, 0, '', '0-0', complete, restoring, {} } end

local info = about(call('XINFO', 'STREAM', stream))
local first = info['first-entry'] and info['first-entry'][1] or ''
local newest = info['last-generated-id']
if noting and restoring == 0 and info['entries-added'] > info['length'] then
  local from = first
  if first == '' then
    local milliseconds, sequence = string.match(newest, '^(%d+)-(%d+)$$')
    from = string.format('%s-%.0f', milliseconds, sequence + 1)
  end
  if not complete or above(from, complete) then
    call('HSET', archive, '$COMPLETE_FROM_FIELD', from)
    complete = from
  end
end

local groups = {}
for i, row in ipairs(call('XINFO', 'GROUPS', stream)) do
  local group = about(row)
  local state = base .. '$GROUP_KEY:' .. group['name']
  local times = call('HMGET', state, '$LOOKED_FIELD', '$NOTICED_FIELD', '$FORGOTTEN_FIELD')
  if noting and not times[1] and not times[2] then
    call('HSET', state, '$NOTICED_FIELD', now)
    times[2] = now
  end
  local letters = call('XLEN', base .. '$DEAD_LETTERS_KEY:' .. group['name'])
  groups[i] = {group['name'], times[1], times[2], times[3], letters}
end
local bytes = redis.pcall('MEMORY', 'USAGE', stream)
if type(bytes) == 'table' then bytes = 0 end  -- a user may be denied to ask
return {now, info['length'], bytes, first, newest, complete, restoring, groups}
""",
)

FORGET = _script(
    ALLOW_OOM,
    """
-- Notes that a group no longer keeps events, unless a member of it has looked meanwhile.
-- KEYS: stream. ARGV: token, group, the last look that is known ("": none). Returns 1 if it is noted, else 0.
local base = '{' .. KEYS[1] .. '}:'
local state = base .. '$GROUP_KEY:' .. ARGV[2]
if redis.call('GET', base .. '$RETENTION_KEY') ~= ARGV[1] then return 0 end
if (redis.call('HGET', state, '$LOOKED_FIELD') or '') ~= ARGV[3] then return 0 end
local time = redis.call('TIME')
redis.call('HSETNX', state, '$FORGOTTEN_FIELD', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
return 1
""",
)

LETTERS = _script(
    """
-- Reads dead letters without their entries. KEYS: stream. ARGV: group, id after which to begin, how many at most.
-- Returns {id, id of its entry} for each.
local letters = {}
local dead = '{' .. KEYS[1] .. '}:$DEAD_LETTERS_KEY:' .. ARGV[1]
for i, letter in ipairs(redis.call('XRANGE', dead, '(' .. ARGV[2], '+', 'COUNT', ARGV[3])) do
  local source = '0-0'
  for at = 1, #letter[2], 2 do
    if letter[2][at] == '$DEAD_LETTER_SOURCE' then source = letter[2][at + 1] end
  end
  letters[i] = {letter[1], source}
end
return letters
""",
)

MEASURE = _script(
    """
-- Measures the payload hashes of some entries. KEYS: stream. Message: id after which to begin, how many entries at
-- most, where hashes are that count, each {purpose, storage}.
-- Returns {id of the last entry ("": none), number of entries, bytes}.
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local after, count, wanted = unpack(message)
local base, call, measured, elsewhere, others, places = '{' .. stream .. '}:', redis.call, true, {}, {}, {}
for i, each in ipairs(wanted) do places[i] = {each[1], each[2], true} end
""",
    HASHES,
    """
local entries, bytes = call('XRANGE', stream, '(' .. after, '+', 'COUNT', count), 0
for _, entry in ipairs(entries) do bytes = bytes + add_hashes(entry[2], {}) end
local last = entries[#entries]
return {last and last[1] or '', #entries, bytes}
""",
)

SWEEP = _script(
    ALLOW_OOM,
    """
-- Deletes payload hashes that no entry refers to. KEYS: stream. ARGV: token, the key from which the stream has no gaps
-- as the process knows it, keys.
-- Returns how many were deleted; nil, and nothing was, if the stream has been restored since, or is about to be.
local base = '{' .. KEYS[1] .. '}:'
if redis.call('GET', base .. '$RETENTION_KEY') ~= ARGV[1] then return nil end
if redis.call('EXISTS', base .. '$RESTORE_KEY') == 1 then return nil end
if redis.call('HGET', base .. '$ARCHIVE_KEY', '$COMPLETE_FROM_FIELD') ~= ARGV[2] then return nil end
return redis.call('UNLINK', unpack(ARGV, 3))
""",
)
