"""The scripts of leases. A lease is (consumer, delivery count), and only XPENDING knows both."""

from event_backbone.connection import Script
from event_backbone.stream.values import RELEASED_CONSUMER

LONG_AGO_MILLISECONDS = 365 * 24 * 3600 * 1000
"""An idle time beyond every lease: the entry can be claimed at once."""

# Sets owned, the ids whose lease holds, and lost, the others. The leases come in order, so one XPENDING over their
# range is the rule; single questions remain for a consumer that holds far more within it. When the message says that
# this is a repetition after a lost answer, an entry that is pending for nobody counts as finished by the first call.
# What is noted of an entry's attempts is "<failures>/<attempt of the last failure>/<1 when it ran alone>".
_OWNED = """
local stream, message = KEYS[1], cmsgpack.unpack(ARGV[1])
local group, consumer, ids, attempts, again = message[1], message[2], message[3], message[4], message[5]
local base = '{' .. stream .. '}:'
local notes = base .. 'attempts:' .. group

local function pending(first, last, limit)
  return redis.call('XPENDING', stream, group, first, last, limit, consumer)
end

local limit = 2 * #ids + 16
local rows, counts = pending(ids[1], ids[#ids], limit), {}
for _, row in ipairs(rows) do counts[row[1]] = row[4] end
local owned, lost = {}, {}
for i, id in ipairs(ids) do
  local count = counts[id]
  if not count and #rows == limit then
    local row = pending(id, id, 1)[1]
    count = row and row[4]
  end
  if count == attempts[i] then
    owned[#owned + 1] = id
  elseif not again or redis.call('XPENDING', stream, group, id, id, 1)[1] then
    lost[#lost + 1] = id
  end
end

local function noted(id)
  local failures, last, alone = string.match(redis.call('HGET', notes, id) or '', '^(%d+)/(%d+)/(%d)$')
  return tonumber(failures) or 0, tonumber(last) or 0, alone or '0'
end

local function note(id, failures, last, alone)
  redis.call('HSET', notes, id, string.format('%d/%d/%s', failures, last, alone))
end
"""

# XCLAIM drops entries that have been deleted from the stream: their leases are lost.
RENEW = Script(
    _OWNED
    + """
if #owned > 0 then
  local call = {'XCLAIM', stream, group, consumer, 0, unpack(owned)}
  for _, option in ipairs({'IDLE', 0, 'JUSTID'}) do call[#call + 1] = option end
  local renewed = {}
  for _, id in ipairs(redis.call(unpack(call))) do renewed[id] = true end
  for _, id in ipairs(owned) do
    if not renewed[id] then
      redis.call('HDEL', notes, id)
      lost[#lost + 1] = id
    end
  end
end
return lost
"""
)

ACK = Script(
    _OWNED
    + """
if #owned > 0 then
  redis.call('XACK', stream, group, unpack(owned))
  redis.call('HDEL', notes, unpack(owned))
end
return lost
"""
)

# An attempt that ended in a recorded failure stays counted; one that was not begun is taken back.
RELEASE = Script(
    _OWNED
    + f"""
local attempt_of = {{}}
for i, id in ipairs(ids) do attempt_of[id] = attempts[i] end
for _, id in ipairs(owned) do
  local _, last = noted(id)
  local count = attempt_of[id]
  if last ~= count then count = count - 1 end
  local given = redis.call('XCLAIM', stream, group, '{RELEASED_CONSUMER}', 0, id,
    'IDLE', {LONG_AGO_MILLISECONDS}, 'RETRYCOUNT', count, 'JUSTID')
  if #given == 0 then redis.call('HDEL', notes, id) end
end
return lost
"""
)

RECORD_FAILURE = Script(
    _OWNED
    + """
if owned[1] then
  local failures, last, alone = noted(owned[1])
  if last ~= attempts[1] then note(owned[1], failures + 1, attempts[1], alone) end
end
return lost
"""
)

MARK_ALONE = Script(
    _OWNED
    + """
if owned[1] then
  local failures, last = noted(owned[1])
  note(owned[1], failures, last, '1')
end
return lost
"""
)

# The count is set, not raised: after a lost answer the same call begins the same attempt.
BEGIN_ATTEMPT = Script(
    _OWNED
    + """
local id, attempt = ids[1], attempts[1] + 1
local row = pending(id, id, 1)[1]
if not row or (row[4] ~= attempt and row[4] ~= attempt - 1) then return false end
local entry = redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', attempt)[1]
if not entry then
  redis.call('HDEL', notes, id)
  return false
end
return {id, entry[2], attempt, redis.call('HGET', notes, id)}
"""
)

# XADD may be refused (out of memory), and then nothing is acked.
DEAD_LETTER = Script(
    _OWNED
    + """
local id = owned[1]
if id then
  local entry = redis.call('XRANGE', stream, id, id)[1]
  local letter = entry and entry[2] or {}
  local about = {'dead:source', id, 'dead:attempts', attempts[1],
    'dead:reason', message[6], 'dead:detail', message[7], 'dead:error', message[8]}
  for _, part in ipairs(about) do letter[#letter + 1] = part end
  redis.call('XADD', base .. 'dead:' .. group, '*', unpack(letter))
  redis.call('XACK', stream, group, id)
  redis.call('HDEL', notes, id)
end
return lost
"""
)
