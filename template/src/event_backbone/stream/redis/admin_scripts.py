"""The scripts by which people act on a group from outside: what is pending, and its dead letters."""

from event_backbone.connection import ALLOW_OOM, Script
from event_backbone.stream.redis.follow_up_records import FORGET
from event_backbone.wire.lua import with_names

PENDING = Script(
    with_names("""
-- Lists what is pending. KEYS: stream. ARGV: group, the first id, how many at most.
-- Returns for each {entry id, consumer, milliseconds since its delivery, delivery count, the time when it is due ("":
-- it is not parked), what is noted of its attempts ("": nothing)}. One step, so that no entry is seen as parked whose
-- due time is gone already.
local stream, group = KEYS[1], ARGV[1]
local base = '{' .. stream .. '}:'
local rows = redis.call('XPENDING', stream, group, ARGV[2], '+', ARGV[3])
for _, row in ipairs(rows) do
  local parked = row[2] == '$WAITING_CONSUMER'
  row[5] = parked and (redis.call('ZSCORE', base .. '$DUE_KEY:' .. group, row[1]) or '0') or ''
  row[6] = redis.call('HGET', base .. '$ATTEMPTS_KEY:' .. group, row[1]) or ''
end
return rows
""")
)

# For scripts whose message is: group, ids of dead letters, ids of their entries. KEYS: stream.
_DEAD_LETTERS = """
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, letters, sources = message[1], message[2], message[3]
local base = '{' .. stream .. '}:'
local dead, notes = base .. '$DEAD_LETTERS_KEY:' .. group, base .. '$ATTEMPTS_KEY:' .. group

local function has(key, id) return #redis.call('XRANGE', key, id, id) == 1 end

-- The id of the last entry that the group was given; nil without the group.
local delivered
for _, row in ipairs(redis.pcall('XINFO', 'GROUPS', stream)) do
  local about = {}
  for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
  if about['name'] == group then delivered = about['last-delivered-id'] end
end

-- Whether the group will be given the entry anyway: it is pending, or not read yet by a group that was created again.
local function comes_anyway(source)
  if #redis.call('XPENDING', stream, group, source, source, 1) > 0 then return true end
  return has(stream, source) and #redis.call('XRANGE', stream, source, delivered, 'COUNT', 1) == 0
end
"""

REDRIVE = Script(
    with_names(
        """
-- Parks the entries of dead letters, due now and as if never delivered, and deletes the dead letters. For an event that
-- has left the stream it appends a redriven entry, if its metadata is given.
-- The message goes on with: for each dead letter the metadata in the archive ("": it has none); or nothing.
-- Returns for each "redriven"; "gone", as its dead letter is; or "not-found", when the entry has left the stream and no
-- metadata is given, and then the dead letter stays.
-- Keeps promise 5: one step, so no event is lost or delivered twice. What comes anyway is not parked. Neither is a
-- redriven entry, which the group reads in its turn: XREADGROUP would take it from whoever has it by then, and deliver
-- it again. A full server refuses XADD before anything was changed.
"""
        + _DEAD_LETTERS
        + """
local archived = message[4] or {}
if #archived > 0 and not delivered then return redis.error_reply('NOGROUP There is no group ' .. group) end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function note_redrive(id, letter)
  local times, fields = 1, redis.call('XRANGE', dead, letter, letter)[1][2]
  for i = 1, #fields, 2 do
    if fields[i] == '$DEAD_LETTER_REDRIVES' then times = 1 + (tonumber(fields[i + 1]) or 0) end
  end
  redis.call('HSET', notes, id, '0/0/0/0/' .. times)
end

local function redrive(source, letter)
  if comes_anyway(source) then return end
  redis.call('XCLAIM', stream, group, '$WAITING_CONSUMER', 0, source, 'RETRYCOUNT', 0, 'FORCE', 'JUSTID')
  note_redrive(source, letter)
  redis.call('ZADD', base .. '$DUE_KEY:' .. group, now, source)
end

local function redrive_archived(source, letter, metadata)
  local id = redis.call('XADD', stream, '*', '$FORMAT_FIELD', '$WIRE_FORMAT',
    '$REDRIVEN_FIELD', source .. ' ' .. group, '$REDRIVEN_METADATA_FIELD', metadata)
  redis.call('HSET', base .. '$REDRIVEN_KEY:' .. group, id, source)
  note_redrive(id, letter)
end

local answers = {}
for i, letter in ipairs(letters) do
  local source, metadata = sources[i], archived[i] or ''
  if not has(dead, letter) then
    answers[i] = 'gone'
  elseif not has(stream, source) and metadata == '' then
    answers[i] = 'not-found'
  else
    if has(stream, source) then redrive(source, letter) else redrive_archived(source, letter, metadata) end
    redis.call('XDEL', dead, letter)
    answers[i] = 'redriven'
  end
end
return answers
"""
    )
)

DISCARD = Script(
    with_names(
        ALLOW_OOM
        + """
-- Deletes dead letters, and what is kept of their events. The entries stay in the stream.
-- Returns how many there were. One step; what comes anyway keeps what belongs to its delivery. Needs no group.
"""
        + _DEAD_LETTERS
        + FORGET
        + """
local discarded = 0
for i, letter in ipairs(letters) do
  if redis.call('XDEL', dead, letter) == 1 then
    discarded = discarded + 1
    if not (delivered and comes_anyway(sources[i])) then forget({sources[i]}) end
  end
end
return discarded
"""
    )
)
