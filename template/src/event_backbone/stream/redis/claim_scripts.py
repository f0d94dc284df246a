"""The scripts by which a consumer comes to entries that were delivered before, and leaves its group."""

from event_backbone.connection import Script

# Looked for first, because a full server refuses to make even a group that exists.
ENSURE = Script("""
local stream, group, start = KEYS[1], ARGV[1], ARGV[2]
local groups = redis.pcall('XINFO', 'GROUPS', stream)
for _, row in ipairs(groups) do
  for i = 1, #row, 2 do
    if row[i] == 'name' and row[i + 1] == group then return 0 end
  end
end
redis.call('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
redis.call('DEL', '{' .. stream .. '}:attempts:' .. group)
return 1
""")

# XAUTOCLAIM with JUSTID only takes ownership: what is held locally is passed over without counting an attempt.
# The rest is counted by XCLAIM, which returns the fields, and XPENDING says how often it was delivered by now.
CLAIM = Script("""
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, consumer, cursor, count, idle, held = unpack(message)
local notes = '{' .. stream .. '}:attempts:' .. group
local scan = redis.call('XAUTOCLAIM', stream, group, consumer, idle, cursor, 'COUNT', count, 'JUSTID')
local vanished = scan[3] or {}
if #vanished > 0 then redis.call('HDEL', notes, unpack(vanished)) end

local is_held, ids, rows = {}, {}, {}
for _, id in ipairs(held) do is_held[id] = true end
for _, id in ipairs(scan[2]) do
  if not is_held[id] then ids[#ids + 1] = id end
end
if #ids > 0 then
  local noted = redis.call('HMGET', notes, unpack(ids))
  local entries = redis.call('XCLAIM', stream, group, consumer, 0, unpack(ids))
  for i, entry in ipairs(entries) do
    local id = entry[1]
    rows[i] = {id, entry[2], redis.call('XPENDING', stream, group, id, id, 1, consumer)[1][4], noted[i]}
  end
end
return {scan[1], rows, vanished}
""")

# Entries that have been deleted from the stream are left for the claim, which reports them.
RECOVER = Script("""
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, consumer, after, count, held = unpack(message)
local notes = '{' .. stream .. '}:attempts:' .. group
local is_held, last, rows = {}, false, {}
for _, id in ipairs(held) do is_held[id] = true end
for _, row in ipairs(redis.call('XPENDING', stream, group, after, '+', count, consumer)) do
  local id = row[1]
  last = id
  local entry = not is_held[id] and redis.call('XRANGE', stream, id, id)[1]
  if entry then
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', 0, 'JUSTID')
    rows[#rows + 1] = {id, entry[2], row[4], redis.call('HGET', notes, id)}
  end
end
return {last, rows}
""")

# Looking and deleting is one step, so a consumer that was given an entry meanwhile keeps it.
LEAVE = Script("""
local stream, group, consumer, crashed_after = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local consumers = redis.pcall('XINFO', 'CONSUMERS', stream, group)
if consumers.err then return 0 end
for _, row in ipairs(consumers) do
  local about = {}
  for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
  if about['pending'] == 0 and (about['name'] == consumer or about['idle'] >= crashed_after) then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, about['name'])
  end
end
return 1
""")
