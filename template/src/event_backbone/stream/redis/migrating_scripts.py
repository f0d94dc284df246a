"""The scripts of a migration: copy a stream of entries or dead letters beside the live one, and put it into its place.

Every message begins as those of a restore do: token, number of the call. Then comes the group whose dead letters are
meant; "" is the stream itself.
"""

from event_backbone.stream.redis.entry_ids import ABOVE, LAST_ID
from event_backbone.stream.redis.restoring_scripts import HOLDER, IN_ORDER, restoring_script

# Needs HOLDER. What was built: ``built``; what it is built from: ``live``.
_LOG = """
local group = message[3]
local built, live = restoring, stream
if group ~= '' then
  built, live = base .. '$RESTORING_DEAD_LETTERS_KEY:' .. group, base .. '$DEAD_LETTERS_KEY:' .. group
end
"""

ADD_COPIES = restoring_script(
    """
-- Adds entries or dead letters under their own ids, in order, with the payload hashes of those that moved.
-- The message goes on, flat, with: number of entries; for each entry: id, {fields and their values}, number of writes;
-- for each write: purpose of its key, after how many milliseconds it expires (0: never), {fields and their values}.
-- {items} are their number, and the items. An entry that is not above the last one was added by a call whose answer was
-- lost; its hashes are written again.
-- Keeps promise 6: an erased hash is not written again.
""",
    HOLDER,
    IN_ORDER,
    ABOVE,
    LAST_ID,
    _LOG,
    """
local unpack = unpack
local last, at = last_id(built), 5
if group ~= '' then call('SADD', base .. '$RESTORING_GROUPS_KEY', group) end
for _ = 1, message[4] do
  local id, from, to = message[at], at + 2, at + 1 + message[at + 1]
  at = to + 2
  for _ = 1, message[to + 1] do
    local key, expires, fields, till = base .. message[at], message[at + 1], at + 3, at + 2 + message[at + 2]
    at = till + 1
    if call('HEXISTS', key, '$ERASED_FIELD') == 0 then
      call('DEL', key)
      call('HSET', key, unpack(message, fields, till))
      if expires > 0 then call('PEXPIRE', key, expires) end
    end
  end
  if above(id, last) then last = call('XADD', built, id, unpack(message, from, to)) end
end
return 1
""",
)

PRUNE = restoring_script(
    """
-- Removes from what was built what has left the live stream since it was copied.
-- The message goes on with: id after which to begin, how many entries are looked at.
-- Returns the last id that was looked at; "" at the end.
""",
    HOLDER,
    IN_ORDER,
    _LOG,
    """
local entries, kept = call('XRANGE', built, '(' .. message[4], '+', 'COUNT', message[5]), {}
if #entries == 0 then return '' end
local till = entries[#entries][1]
for _, entry in ipairs(call('XRANGE', live, '(' .. message[4], till, 'COUNT', message[5])) do kept[entry[1]] = true end
for _, entry in ipairs(entries) do
  if not kept[entry[1]] then call('XDEL', built, entry[1]) end
end
return till
""",
)

_GROUPS = """
local function named(row)
  local about = {}
  for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
  return about
end

-- Makes entries pending as they are in the live stream: same consumer, delivery count and time of delivery, so leases
-- stay valid. Entries with all three alike go together. What has no entry any more cannot be pending, and is forgotten.
local function set_pending(name)
  local alike, order = {}, {}
  local rows = call('XPENDING', stream, name, '-', '+', 1000000)
  for _, row in ipairs(rows) do
    local id, consumer, idle, count = unpack(row)
    local kind = string.format('%.0f %.0f ', idle, count) .. consumer
    local claim = alike[kind]
    if not claim or #claim.ids == 500 then
      claim = {consumer = consumer, idle = idle, count = count, ids = {}}
      order[#order + 1], alike[kind] = claim, claim
    end
    claim.ids[#claim.ids + 1] = id
  end
  for _, claim in ipairs(order) do
    local ids = claim.ids
    local number = #ids
    for _, option in ipairs({'IDLE', claim.idle, 'RETRYCOUNT', claim.count, 'FORCE', 'JUSTID'}) do
      ids[#ids + 1] = option
    end
    local given = call('XCLAIM', built, name, claim.consumer, 0, unpack(ids))
    if #given < number then
      local there = {}
      for _, id in ipairs(given) do there[id] = true end
      for i = 1, number do
        if not there[ids[i]] then
          call('ZREM', base .. '$DUE_KEY:' .. name, ids[i])
          for _, purpose in ipairs({'$ATTEMPTS_KEY:', '$ONCE_KEY:', '$REDRIVEN_KEY:'}) do
            call('HDEL', base .. purpose .. name, ids[i])
          end
        end
      end
    end
  end
end

local function set_groups()
  for _, row in ipairs(call('XINFO', 'GROUPS', stream)) do
    local about = named(row)
    local name = about['name']
    local made = redis.pcall('XGROUP', 'CREATE', built, name, about['last-delivered-id'],
      'ENTRIESREAD', about['entries-read'] or -1)
    if type(made) == 'table' and made.err then error(made.err) end
    for _, consumer in ipairs(call('XINFO', 'CONSUMERS', stream, name)) do
      call('XGROUP', 'CREATECONSUMER', built, name, named(consumer)['name'])
    end
    set_pending(name)
  end
end
"""

TAKE_PLACE = restoring_script(
    """
-- Puts what was built into the place of the live stream: with what came meanwhile, and for the stream itself with its
-- groups, their consumers and all that is pending. Due times, attempts, members and the like stay, as ids do.
-- The message goes on with: how many entries may not have been copied yet.
-- Returns {"done", entries that came meanwhile}, also when it is called again; {"more"} if more came than that;
-- {"left"} if some have left the live stream since they were copied; then nothing has changed.
-- Keeps promises 1, 4 and 5: one step, so nobody finds a stream without its groups, or a lease that has ended.
""",
    HOLDER,
    IN_ORDER,
    ABOVE,
    LAST_ID,
    _LOG,
    _GROUPS,
    """
if call('EXISTS', built) == 0 then return call('HEXISTS', state, '$COPIED_FIELD') == 1 and {'done', 0} or 'LOST' end
local last, copied = last_id(live), last_id(built)
if above(copied, last) then return 'LOST' end
local rest = call('XRANGE', live, '(' .. copied, '+', 'COUNT', message[4] + 1)
if #rest > message[4] then return {'more'} end
for _, entry in ipairs(rest) do call('XADD', built, entry[1], unpack(entry[2])) end
if call('XLEN', built) ~= call('XLEN', live) then return {'left'} end
local about = named(call('XINFO', 'STREAM', live))
call('XSETID', built, last, 'ENTRIESADDED', about['entries-added'], 'MAXDELETEDID', about['max-deleted-entry-id'])
if group == '' then set_groups() end
call('UNLINK', live)
call('RENAME', built, live)
call('HSET', state, '$COPIED_FIELD', last)
return {'done', #rest}
""",
)

REWRITTEN = restoring_script(
    """
-- Returns the entry with this id in the stream that is being built, as XRANGE does. KEYS: stream. ARGV: id.
local restoring = '{' .. KEYS[1] .. '}:$RESTORING_KEY'
return redis.call('XRANGE', restoring, ARGV[1], ARGV[1])
"""
)
