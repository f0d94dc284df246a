"""The scripts by which a member joins its group, gets entries that were delivered before, and leaves.

A message is one argument packed by ``script_message``; all times are the server's, in milliseconds since 1970.
"""

from event_backbone.connection import ALLOW_OOM, Script
from event_backbone.stream.redis.entry_ids import ABOVE
from event_backbone.stream.redis.follow_up_records import FORGET
from event_backbone.stream.redis.tombstones import WAS_ERASED
from event_backbone.wire.lua import with_names

ENSURE = Script(
    with_names("""
-- Creates the group, and the stream with it, unless the group exists.
-- KEYS: stream. ARGV: group, entry id after which it begins.
-- Returns 1 if the group was created, else 0.
-- Keeps promise 5: attempts, due times and follow-up events of an earlier group of this name never reach the new one.
-- The group is looked for first because a full server refuses XGROUP CREATE even for one that exists.
local stream, group, start = KEYS[1], ARGV[1], ARGV[2]
local base = '{' .. stream .. '}:'
local groups = redis.pcall('XINFO', 'GROUPS', stream)
for _, row in ipairs(groups) do
  for i = 1, #row, 2 do
    if row[i] == 'name' and row[i + 1] == group then return 0 end
  end
end
redis.call('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
redis.call('DEL', base .. '$ATTEMPTS_KEY:' .. group, base .. '$DUE_KEY:' .. group, base .. '$ONCE_KEY:' .. group)
redis.call('HDEL', base .. '$GROUP_KEY:' .. group, '$NOTICED_FIELD', '$FORGOTTEN_FIELD', '$CUT_FIELD',
  '$CUT_UNTIL_FIELD', '$CUT_AT_FIELD', '$SKIPPED_AFTER_FIELD', '$SKIPPED_UNTIL_FIELD')
return 1
""")
)

MISSED = Script(
    with_names(
        """
-- Returns how many entries were removed before the group had finished them, and the id of the last one; nil if none
-- was, or it has read on and looked since. KEYS: stream. ARGV: group.
"""
        + ABOVE
        + """
local stream, group = KEYS[1], ARGV[1]
local noted = redis.call('HMGET', '{' .. stream .. '}:$GROUP_KEY:' .. group, '$CUT_FIELD', '$CUT_UNTIL_FIELD',
  '$CUT_AT_FIELD', '$LOOKED_FIELD')
local cut_at, looked = tonumber(noted[3]) or 0, tonumber(noted[4]) or 0
if not noted[1] or not noted[2] or redis.call('EXISTS', stream) == 0 then return nil end
for _, row in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local about = {}
  for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
  if about['name'] == group and (cut_at > looked or above(noted[2], about['last-delivered-id'])) then
    return {noted[1], noted[2]}
  end
end
return nil
"""
    )
)

LOOK = Script(
    with_names(
        ALLOW_OOM
        + """
-- Renews a member's row, then takes over what is due and what members whose row has ended left behind.
-- KEYS: stream. Message: group, member, lease in milliseconds, limit (how many entries it may take; 0 only renews).
-- Returns {entries taken, each {id, fields, delivery count, note}; ids that have left the stream; ids that were erased;
-- 1 if more could be taken, else 0; 1 if the member's own row had ended, else 0; how many entries are parked}.
--
-- Keeps promise 4. A living member is never taken for a dead one: its row is at least half a lease from its end
-- whenever it has looked (a row is rewritten when a quarter old, looks are at most a quarter apart), so only a silence
-- of more than half a lease can end it, and a look that notices such a silence puts off taking over ("hold").
-- Keeps promise 5. What is parked is begun once: the delivery is counted and the due time removed in this one step.
--
-- Runs on a full server too, where it writes a few bytes per member and per parked entry: rows that nobody could renew
-- would end, and living members would lose their events.
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, member, lease, limit = unpack(message)
local base = '{' .. stream .. '}:'
local members, due = base .. '$MEMBERS_KEY:' .. group, base .. '$DUE_KEY:' .. group
local notes, state = base .. '$ATTEMPTS_KEY:' .. group, base .. '$GROUP_KEY:' .. group
local WAITING = '$WAITING_CONSUMER'
local call = redis.call
"""
        + FORGET
        + WAS_ERASED
        + """
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

call('XPENDING', stream, group, '-', '+', 1, WAITING)  -- fails with NOGROUP when the group is gone

-- What the group remembers of its looks. After a silence, or when the clock went back, nothing is taken from ended rows
-- until every living member has had the time to renew its own. With a clock that went back all rows are worthless, and
-- due times move with it. Written sparingly: "looked" twice a second, or every eighth of a lease if that is shorter.
local known = call('HMGET', state, '$LOOKED_FIELD', '$HOLD_FIELD', '$SWEPT_FIELD', '$LONGEST_LEASE_FIELD',
  '$FORGOTTEN_FIELD')
local looked, hold = tonumber(known[1]), tonumber(known[2]) or 0
local swept, longest = tonumber(known[3]) or 0, tonumber(known[4]) or 0
if lease > longest then
  longest = lease
  call('HSET', state, '$LONGEST_LEASE_FIELD', lease)
end
local went_back = looked and now < looked
if not looked or went_back or now - looked > math.min(5000, lease / 2) then
  if went_back then
    call('DEL', members)
    swept = 0
    local ids = call('ZRANGE', due, 0, -1, 'WITHSCORES')
    for i = 1, #ids, 2 do call('ZADD', due, ids[i + 1] - (looked - now), ids[i]) end
  end
  hold = now + math.floor(math.min(10000, longest / 2))
  call('HSET', state, '$HOLD_FIELD', hold)
end
if not looked or went_back or now - looked >= math.min(500, lease / 8) then
  call('HSET', state, '$LOOKED_FIELD', now)
end
if known[5] then call('HDEL', state, '$FORGOTTEN_FIELD') end  -- the group has returned, whatever the clock says

-- This member's row, rewritten when a quarter of it has passed or an earlier, longer lease left it too long.
local ends = tonumber(call('ZSCORE', members, member) or 0)
local ended = ends <= now
if ended or ends < now + lease * 3 / 4 or ends > now + lease then call('ZADD', members, now + lease, member) end

-- Every quarter of a lease one look of the group repairs what does not match: consumer names without a row get one that
-- ends a lease later, parked entries without a due time are due now (so what is pending for the reserved consumer
-- equals what is due), and due times without a parked entry, as of an earlier group, are dropped.
local function add_due_times()
  local after = '-'
  repeat
    local page = call('XPENDING', stream, group, after, '+', 1000, WAITING)
    for _, row in ipairs(page) do
      call('ZADD', due, 'NX', now, row[1])
      after = '(' .. row[1]
    end
  until #page < 1000
end
local function drop_due_times()
  for _, id in ipairs(call('ZRANGE', due, 0, -1)) do
    if #call('XPENDING', stream, group, id, id, 1, WAITING) == 0 then call('ZREM', due, id) end
  end
end
if now - swept >= lease / 4 or now < swept then
  call('HSET', state, '$SWEPT_FIELD', now)
  local parked = 0
  for _, row in ipairs(call('XINFO', 'CONSUMERS', stream, group)) do
    local about = {}
    for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
    if about['name'] == WAITING then
      parked = about['pending']
    else
      call('ZADD', members, 'NX', now + lease, about['name'])
    end
  end
  if parked > call('ZCARD', due) then add_due_times() end
  if parked < call('ZCARD', due) then drop_due_times() end
end

-- Takes entries over, which counts a delivery of each, and drops those that have left the stream.
local rows, vanished, erased = {}, {}, {}
local function take(ids, counts)
  local noted = call('HMGET', notes, unpack(ids))
  local found = {}
  for _, entry in ipairs(call('XCLAIM', stream, group, member, 0, unpack(ids))) do found[entry[1]] = entry[2] end
  for i, id in ipairs(ids) do
    if found[id] then
      rows[#rows + 1] = {id, found[id], counts[i] + 1, noted[i]}
    else
      local missing = was_erased(id) and erased or vanished
      missing[#missing + 1] = id
      forget({id})
    end
  end
end

local function take_due(most)
  local ids, counts = {}, {}
  for _, id in ipairs(call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)) do
    local row = call('XPENDING', stream, group, id, id, 1, WAITING)[1]
    if row then
      ids[#ids + 1] = id
      counts[#counts + 1] = row[4]
    end
    call('ZREM', due, id)
  end
  if #ids > 0 then take(ids, counts) end
end

local function take_from(name, most)
  local ids, counts = {}, {}
  for i, row in ipairs(call('XPENDING', stream, group, '-', '+', most, name)) do
    ids[i] = row[1]
    counts[i] = row[4]
  end
  if #ids > 0 then take(ids, counts) end
  return #ids
end

-- First what is due, up to half of the limit; then, from ended rows, up to half of what is left of it. So neither keeps
-- the other waiting, nor new entries. A name left empty goes with its row.
local more = 0
if limit > 0 then take_due(math.ceil(limit / 2)) end
if call('ZCOUNT', due, '-inf', now) > 0 then more = 1 end
if now >= hold then
  local left = math.ceil((limit - #rows - #vanished - #erased) / 2)
  for _, name in ipairs(call('ZRANGE', members, '-inf', now, 'BYSCORE', 'LIMIT', 0, 100)) do
    if left > 0 then left = left - take_from(name, left) end
    if #call('XPENDING', stream, group, '-', '+', 1, name) > 0 then
      more = 1
      break
    end
    call('XGROUP', 'DELCONSUMER', stream, group, name)
    call('ZREM', members, name)
  end
end
return {rows, vanished, erased, more, ended and 1 or 0, call('ZCARD', due)}
"""
    )
)

FETCH = Script(
    with_names(
        """
-- Reads entries that are pending under a member's name without its knowledge, as after a lost answer.
-- KEYS: stream. Message: group, member, entry ids.
-- Returns {entries still pending under this name, each {id, fields, delivery count, note}; ids that have left the
-- stream, and ids that were erased, both of which are acked}.
-- Keeps promise 4: a lost answer costs no attempt, because nothing is claimed and so no delivery is counted.
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, member, ids = unpack(message)
local base = '{' .. stream .. '}:'
local notes = base .. '$ATTEMPTS_KEY:' .. group
local rows, vanished, erased = {}, {}, {}
"""
        + FORGET
        + WAS_ERASED
        + """
for _, id in ipairs(ids) do
  local row = redis.call('XPENDING', stream, group, id, id, 1, member)[1]
  local entry = row and redis.call('XRANGE', stream, id, id)[1]
  if entry then
    rows[#rows + 1] = {id, entry[2], row[4], redis.call('HGET', notes, id)}
  elseif row then
    redis.call('XACK', stream, group, id)
    forget({id})
    local missing = was_erased(id) and erased or vanished
    missing[#missing + 1] = id
  end
end
return {rows, vanished, erased}
"""
    )
)

LEAVE = Script(
    with_names(
        ALLOW_OOM
        + """
-- Removes a member with its row if nothing is pending under its name; else ends its row, so that others take that at
-- once.
-- KEYS: stream. ARGV: group, member.
-- Returns 0 if the member was removed, 1 if its row was ended.
-- Keeps promise 8: XGROUP DELCONSUMER would drop what is pending, so comparing and deleting are one step.
local stream, group, member = KEYS[1], ARGV[1], ARGV[2]
local members = '{' .. stream .. '}:$MEMBERS_KEY:' .. group
local pending = redis.pcall('XPENDING', stream, group, '-', '+', 1, member)
if pending.err or #pending == 0 then
  redis.pcall('XGROUP', 'DELCONSUMER', stream, group, member)
  redis.call('ZREM', members, member)
  return 0
end
local time = redis.call('TIME')
redis.call('ZADD', members, tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), member)
return 1
"""
    )
)
