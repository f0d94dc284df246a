"""The script that removes entries from a stream with their payloads, unless somebody still needs them there."""

from event_backbone.connection import ALLOW_OOM, Script
from event_backbone.stream.redis.entry_ids import ABOVE, LAST_ID
from event_backbone.stream.redis.entry_payloads import HASHES
from event_backbone.wire.lua import with_names

OTHER = b"OTHER"
"""The answer to a process that no longer carries out retention."""

RESTORING = b"RESTORING"
"""The answer while a restore is under way, which builds the stream again."""

LOST = b"LOST"
"""The answer when Redis has lost events that are archived."""

CHANGED = b"CHANGED"
"""The answer when dead letters are not those that the process knows."""

_HOLDERS = """
-- The groups of the stream. One that is forgotten is so only if no member of it has looked since.
local groups = {}
local last = last_id(stream)
if call('EXISTS', stream) == 1 then
  for _, row in ipairs(call('XINFO', 'GROUPS', stream)) do
    local about = {}
    for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
    local name = about['name']
    local looked = forgotten[name] and (call('HGET', base .. '$GROUP_KEY:' .. name, '$LOOKED_FIELD') or '')
    local is_forgotten = forgotten[name] ~= nil and looked == forgotten[name]
    groups[#groups + 1] = {name = name, delivered = about['last-delivered-id'], forgotten = is_forgotten,
      unread = 0, pending = {}, last = nil}
  end
end

local archive = base .. '$ARCHIVE_KEY'
local committed = call('HGET', archive, '$COMMITTED_FIELD')
if committed and above(committed, last) then return 'LOST' end
if archived and not committed then committed = '0-0' end

-- Dead letters that came since the process has read them. Fewer of those that it knows are no harm; others are, which a
-- restore has brought back.
local dead = {}
for _, id in ipairs(sources) do dead[id] = true end
for _, group in ipairs(groups) do
  local letters, known = base .. '$DEAD_LETTERS_KEY:' .. group.name, known_letters[group.name] or {'', '0-0', 0}
  local newer = call('XRANGE', letters, '(' .. known[2], '+', 'COUNT', 1000)
  local oldest = known[3] > 0 and call('XRANGE', letters, '-', '+', 'COUNT', 1)[1]
  if oldest and above(known[1], oldest[1]) or call('XLEN', letters) - #newer > known[3] then return 'CHANGED' end
  for _, letter in ipairs(newer) do
    for i = 1, #letter[2], 2 do
      if letter[2][i] == '$DEAD_LETTER_SOURCE' then dead[letter[2][i + 1]] = true end
    end
  end
end

-- What nobody may remove is not even read, unless it is to be counted: what is read, living groups have read, and it is
-- archived.
local function no_further_than(id)
  if above(upto, id) then upto = id end
end
if committed and not dry then no_further_than(committed) end
if not cutting and not dry then
  for _, group in ipairs(groups) do
    if not group.forgotten then no_further_than(group.delivered) end
  end
end
local more_sources = #sources == most_sources and above(upto, sources[#sources])
if more_sources then upto = sources[#sources] end

local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Whether an entry is in the hands of a member that runs.
local function in_flight(group, consumer)
  if consumer == '$WAITING_CONSUMER' then return false end
  return tonumber(call('ZSCORE', base .. '$MEMBERS_KEY:' .. group.name, consumer) or 0) > now
end

-- Returns why an entry stays, and for which group; or nil, and the groups from which it is cut.
local function held(id)
  if dry and committed and above(id, committed) then return 'not-archived', '' end
  local cut = {}
  for _, group in ipairs(groups) do
    local consumer = group.pending[id]
    local unread = (group.forgotten or cutting or dry) and above(id, group.delivered)
    if unread or consumer then
      if not group.forgotten and not (cutting and not (consumer and in_flight(group, consumer))) then
        return unread and 'unread' or 'pending', group.name
      end
      cut[#cut + 1] = group
    end
  end
  if dead[id] and not cutting then return 'dead-letter', '' end
  return nil, cut
end
"""

_REMOVE = """
-- Takes entries from the pending ones of a group, with what is kept of them, and notes what it has lost.
local function note_cut(group)
  local name, state = group.name, base .. '$GROUP_KEY:' .. group.name
  local ids = group.lost_pending
  if #ids > 0 then
    call('XACK', stream, name, unpack(ids))
    call('ZREM', base .. '$DUE_KEY:' .. name, unpack(ids))
    call('HDEL', base .. '$ATTEMPTS_KEY:' .. name, unpack(ids))
    call('HDEL', base .. '$ONCE_KEY:' .. name, unpack(ids))
  end
  local until_id = call('HGET', state, '$CUT_UNTIL_FIELD')
  if until_id and not above(until_id, group.delivered) and group.unread > 0 then call('HDEL', state, '$CUT_FIELD') end
  call('HINCRBY', state, '$CUT_FIELD', group.unread + #ids)
  call('HSET', state, '$CUT_UNTIL_FIELD', group.last, '$CUT_AT_FIELD', string.format('%.0f', now))
end

local function remove(ids, keys, are_first)
  local milliseconds, sequence = string.match(ids[#ids], '^(%d+)-(%d+)$$')
  local next_id = string.format('%s-%.0f', milliseconds, sequence + 1)
  if are_first then
    call('XTRIM', stream, 'MINID', next_id)  -- takes a quarter of the time
  else
    call('XDEL', stream, unpack(ids))
  end
  if #keys > 0 then call('UNLINK', unpack(keys)) end
  for _, group in ipairs(groups) do  -- redriven entries that are cut
    local redriven = base .. '$REDRIVEN_KEY:' .. group.name
    if group.last and call('EXISTS', redriven) == 1 then
      call('HDEL', redriven, unpack(ids))
      call('HDEL', base .. '$ATTEMPTS_KEY:' .. group.name, unpack(ids))
    end
  end
  local complete = call('HGET', archive, '$COMPLETE_FROM_FIELD')
  if not complete or above(next_id, complete) then call('HSET', archive, '$COMPLETE_FROM_FIELD', next_id) end
end
"""

TRIM = Script(
    ALLOW_OOM
    + with_names(
        """
-- Removes the next entries that may be removed, with their payload hashes; also on a full server.
-- KEYS: stream. Message: token; id after which to begin; id up to which entries are due; how many entries at most are
-- read; how many bytes are to go (0: any number), and how many of them an entry takes without its payload; whether
-- groups and dead letters may be cut; whether the stream has an archive; whether to count only; whether to measure
-- hashes; {each group that is forgotten: the last look that is known of it}; {each group: ids of the oldest and the
-- newest dead letter that are known, and how many are}; ids of their entries, in order, and how many of them at most
-- are given; where hashes are, each {purpose, storage ("": copies by event id), whether they count}; the storages that
-- are elsewhere.
-- Without a token it takes no lock.
-- Returns "OTHER", "RESTORING", "LOST" or "CHANGED", and nothing was changed; or {id after which to go on
-- ("": none), 1 if there may be more, removed entries, bytes of their hashes, for each reason {reason, group, entries
-- held back, id of the first}, for each group from which entries were cut {group, 1 if it is forgotten, entries},
-- {event id, storage, key} of payloads elsewhere}.
-- Keeps promise 10: what holds an entry is looked up in the same step in which it is removed, so neither a read, a
-- claim, a redrive, a dead letter nor a restore can come between. Keeps promise 1: an entry goes with its payload.
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local token, after, upto, count, over, entry_bytes = unpack(message, 1, 6)
local cutting, archived, dry, measured, forgotten, known_letters = unpack(message, 7, 12)
local sources, most_sources, places, elsewhere, others = message[13], message[14], message[15], message[16], {}
local base, call, unpack = '{' .. stream .. '}:', redis.call, unpack
if token ~= '' and call('GET', base .. '$RETENTION_KEY') ~= token then return 'OTHER' end
if not dry and call('EXISTS', base .. '$RESTORE_KEY') == 1 then return 'RESTORING' end
"""
        + ABOVE
        + LAST_ID
        + _HOLDERS
        + HASHES
        + _REMOVE
        + """
local entries = above(upto, after) and call('XRANGE', stream, '(' .. after, upto, 'COUNT', count) or {}
if #entries == 0 then return {more_sources and upto or '', more_sources and 1 or 0, 0, 0, {}, {}, {} } end
for _, group in ipairs(groups) do
  local rows = call('XPENDING', stream, group.name, entries[1][1], entries[#entries][1], #entries)
  for _, row in ipairs(rows) do group.pending[row[1]] = row[2] end
  -- Some may be of entries that were deleted, by people or by erasing, so that others are not among these any more.
  if #rows == #entries then no_further_than(rows[#rows][1]) end
  group.lost_pending = {}
end

local ids, keys, bytes, holds, reasons, read = {}, {}, 0, {}, {}, ''
for _, entry in ipairs(entries) do
  local id = entry[1]
  if above(id, upto) then break end
  local reason, cut = held(id)
  if reason then
    local hold = reasons[reason .. ' ' .. cut]
    if not hold then
      hold = {reason, cut, 0, id}
      holds[#holds + 1], reasons[reason .. ' ' .. cut] = hold, hold
    end
    hold[3] = hold[3] + 1
  else
    ids[#ids + 1] = id
    bytes = bytes + add_hashes(entry[2], keys)
    for _, group in ipairs(cut) do
      group.last = id
      if group.pending[id] then
        group.lost_pending[#group.lost_pending + 1] = id
      else
        group.unread = group.unread + 1
      end
    end
  end
  read = id
  if over > 0 and bytes + #ids * entry_bytes >= over then break end
end

local cuts = {}
for _, group in ipairs(groups) do
  if group.last then
    cuts[#cuts + 1] = {group.name, group.forgotten and 1 or 0, group.unread + #group.lost_pending}
    if not dry then note_cut(group) end
  end
end
if #ids > 0 and not dry then
  local are_first = #holds == 0 and call('XRANGE', stream, '-', '+', 'COUNT', 1)[1][1] == ids[1]
  remove(ids, keys, are_first)
end
local more = #entries == count or read ~= entries[#entries][1] or more_sources
return {read, more and 1 or 0, #ids, bytes, holds, cuts, others}
"""
    )
)
