"""The scripts by which a member joins its group, gets entries that were delivered before, and leaves."""

from event_backbone.connection import Script
from event_backbone.stream.values import WAITING_CONSUMER

# Looked for first, because a full server refuses to make even a group that exists.
ENSURE = Script("""
local stream, group, start = KEYS[1], ARGV[1], ARGV[2]
local base = '{' .. stream .. '}:'
local groups = redis.pcall('XINFO', 'GROUPS', stream)
for _, row in ipairs(groups) do
  for i = 1, #row, 2 do
    if row[i] == 'name' and row[i + 1] == group then return 0 end
  end
end
redis.call('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
redis.call('DEL', base .. 'attempts:' .. group, base .. 'due:' .. group)
return 1
""")

# A look writes a few bytes for each member and each parked entry, and must not fail when the server is full: rows that
# nobody can renew would end, and living members be taken for dead ones.
#
# Every time in here is the server's. What keeps a living member safe from others: its row is at least half a lease from
# its end whenever it has looked (a row is written when a quarter old, looks are at most a quarter apart), so only a
# silence of more than half a lease can end it; and a look that notices such a silence takes nothing for a while.
LOOK = Script(
    f"""#!lua flags=allow-oom
local WAITING = '{WAITING_CONSUMER}'
"""
    """
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, member, lease, room = unpack(message)
local base = '{' .. stream .. '}:'
local members, due = base .. 'members:' .. group, base .. 'due:' .. group
local notes, state = base .. 'attempts:' .. group, base .. 'group:' .. group
local call = redis.call
local time = call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

call('XPENDING', stream, group, '-', '+', 1, WAITING)  -- NOGROUP when the group is gone

-- What the group remembers of its looks.
local known = call('HMGET', state, 'looked', 'hold', 'swept', 'lease')
local looked, hold = tonumber(known[1]), tonumber(known[2]) or 0
local swept, longest = tonumber(known[3]) or 0, tonumber(known[4]) or 0
if lease > longest then
  longest = lease
  call('HSET', state, 'lease', lease)
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
  call('HSET', state, 'hold', hold)
end
if not looked or went_back or now - looked >= math.min(500, lease / 8) then call('HSET', state, 'looked', now) end

-- This member's row.
local ends = tonumber(call('ZSCORE', members, member) or 0)
local ended = ends <= now
if ended or ends < now + lease * 3 / 4 or ends > now + lease then call('ZADD', members, now + lease, member) end

-- Names without a row, parked entries without a due time, and due times without an entry, as of an earlier group.
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
  call('HSET', state, 'swept', now)
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

-- Takes entries over, and drops those that have left the stream.
local rows, vanished = {}, {}
local function take(ids, counts)
  local noted = call('HMGET', notes, unpack(ids))
  local found = {}
  for _, entry in ipairs(call('XCLAIM', stream, group, member, 0, unpack(ids))) do found[entry[1]] = entry[2] end
  for i, id in ipairs(ids) do
    if found[id] then
      rows[#rows + 1] = {id, found[id], counts[i] + 1, noted[i]}
    else
      vanished[#vanished + 1] = id
      call('HDEL', notes, id)
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

local more = 0
if room > 0 then take_due(math.ceil(room / 2)) end
if call('ZCOUNT', due, '-inf', now) > 0 then more = 1 end
if now >= hold then
  local left = math.ceil((room - #rows - #vanished) / 2)
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
return {rows, vanished, more, ended and 1 or 0, call('ZCARD', due)}
"""
)

# Entries under this member's name of which it knows nothing, as after a lost answer: read, not counted again.
FETCH = Script("""
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, member, ids = unpack(message)
local notes = '{' .. stream .. '}:attempts:' .. group
local rows, vanished = {}, {}
for _, id in ipairs(ids) do
  local row = redis.call('XPENDING', stream, group, id, id, 1, member)[1]
  local entry = row and redis.call('XRANGE', stream, id, id)[1]
  if entry then
    rows[#rows + 1] = {id, entry[2], row[4], redis.call('HGET', notes, id)}
  elseif row then
    redis.call('XACK', stream, group, id)
    redis.call('HDEL', notes, id)
    vanished[#vanished + 1] = id
  end
end
return {rows, vanished}
""")

# Looking and deleting is one step: a member that still has something pending keeps its name until others took it.
LEAVE = Script("""#!lua flags=allow-oom
local stream, group, member = KEYS[1], ARGV[1], ARGV[2]
local members = '{' .. stream .. '}:members:' .. group
local pending = redis.pcall('XPENDING', stream, group, '-', '+', 1, member)
if pending.err or #pending == 0 then
  redis.pcall('XGROUP', 'DELCONSUMER', stream, group, member)
  redis.call('ZREM', members, member)
  return 0
end
local time = redis.call('TIME')
redis.call('ZADD', members, tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), member)
return 1
""")
