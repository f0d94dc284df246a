"""The script that puts a restored stream into the place of the live one."""

from event_backbone.connection import ALLOW_OOM
from event_backbone.stream.redis.restoring_scripts import COPY, HOLDER, IN_ORDER, restoring_script

_NEW_IDS = """
local any_new_ids = call('EXISTS', moves, duplicates) > 0

-- Returns the id that the event of a live entry has in the restored stream.
local function new_id_of(id) return call('HGET', moves, id) or call('HGET', duplicates, id) or id end

-- What is kept by the id of a live entry goes with its event. All old ids go first, as one may be another's new id.
local function rename_follow_ups(group)
  local once, changes = base .. '$ONCE_KEY:' .. group, {}
  local kept = call('HGETALL', once)
  for i = 1, #kept, 2 do
    local new = new_id_of(kept[i])
    if new ~= kept[i] then
      changes[new] = kept[i + 1]
      call('HDEL', once, kept[i])
    end
  end
  for new, lines in pairs(changes) do call('HSETNX', once, new, lines) end
end

local function rename_erased()
  local erased, changes = base .. '$ERASED_KEY', {}
  for _, member in ipairs(call('SMEMBERS', erased)) do
    local id, storage = string.match(member, '^(%S+)(.*)$$')
    local new = new_id_of(id) .. storage
    if new ~= member then
      changes[#changes + 1] = new
      call('SREM', erased, member)
    end
  end
  for _, member in ipairs(changes) do call('SADD', erased, member) end
end
"""

_DEAD_LETTERS = """
-- Whether a restored dead letter with this id is of the same entry.
local function has_letter(dead, id, source)
  local letter = call('XRANGE', dead, id, id)[1]
  return letter and field_of(letter[2], '$DEAD_LETTER_SOURCE') == source
end

-- Appends the live dead letters of a group to the restored ones.
local function merge_dead_letters(group)
  local dead, live = base .. '$RESTORING_DEAD_LETTERS_KEY:' .. group, base .. '$DEAD_LETTERS_KEY:' .. group
  if call('EXISTS', dead) == 0 and not any_new_ids then return end
  local newest = last_id(dead)
  for _, letter in ipairs(call('XRANGE', live, '-', '+')) do
    local id, fields = letter[1], letter[2]
    local source, at = field_of(fields, '$DEAD_LETTER_SOURCE')
    if at then fields[at] = new_id_of(source) end
    if above(id, newest) then
      newest = call('XADD', dead, id, unpack(fields))
    elseif not has_letter(dead, id, source) then
      newest = call('XADD', dead, string.match(newest, '^%d+') .. '-*', unpack(fields))
    end
  end
  if call('EXISTS', dead) == 1 then
    call('UNLINK', live)
    call('RENAME', dead, live)
  end
end
"""

_FOLLOW_UPS = """
-- Adds the restored follow-up events of a group to the live ones, which come from attempts after the loss and count.
local function merge_follow_ups(group)
  local built, once = base .. '$RESTORING_ONCE_KEY:' .. group, base .. '$ONCE_KEY:' .. group
  if call('EXISTS', built) == 0 then return end
  local kept = call('HGETALL', once)
  for i = 1, #kept, 2 do
    local lines = kept[i + 1]
    for line, follow_up in string.gmatch(call('HGET', built, kept[i]) or '', '((%S+ %S+ %S+)[^\\n]*\\n)') do
      if not string.find('\\n' .. lines, '\\n' .. follow_up .. ' ', 1, true) then lines = lines .. line end
    end
    call('HSET', built, kept[i], lines)
  end
  call('RENAME', built, once)
end
"""

_GROUPS = """
-- Returns the names of a stream's groups.
local function groups_of(key)
  local names = {}
  if call('EXISTS', key) == 0 then return names end
  for _, row in ipairs(call('XINFO', 'GROUPS', key)) do
    for i = 1, #row, 2 do
      if row[i] == 'name' then names[row[i + 1]] = true end
    end
  end
  return names
end
"""

SWAP = restoring_script(
    ALLOW_OOM,
    """
-- Copies the last live entries, and puts what was built into the place of the live stream and its groups.
-- The message goes on with: ids that are committed in the archive, and that its last segment follows; the id from which
-- the stream has no gaps (false: it has none); groups that retention had forgotten; how many live entries may be left.
-- Returns {1 if it is done, else 0 (more are left, and nothing was changed); copied, skipped, moved}. A repeated call
-- finds that it was done by the first.
-- Keeps promises 1 and 5: one step, so producers and consumers find one stream or the other, never neither. Also on a
-- full server: what it adds is little, and it removes the live stream.
""",
    HOLDER,
    COPY,
    """
local committed, follows, complete_from, forgotten, most = unpack(message, 3, 7)
local archive = base .. '$ARCHIVE_KEY'
if call('EXISTS', restoring) == 0 then
  local noted = call('HGET', archive, '$COMMITTED_FIELD')
  if noted and not above(committed, noted) then return {1, 0, 0, 0} end
  return 'LOST'
end
""",
    IN_ORDER,
    """
local rest = call('XRANGE', stream, '(' .. (call('HGET', state, '$COPIED_FIELD') or '0-0'), '+', 'COUNT', most + 1)
if #rest > most then return {0, 0, 0, 0} end
copy_all(rest, committed)
""",
    _NEW_IDS,
    _DEAD_LETTERS,
    _FOLLOW_UPS,
    _GROUPS,
    """
-- Groups that workers have created meanwhile begin at the beginning. Nothing of an earlier attempt counts any more.
local groups = groups_of(restoring)
for _, group in ipairs(call('SMEMBERS', base .. '$RESTORING_GROUPS_KEY')) do groups[group] = true end
for group in pairs(groups_of(stream)) do
  if not groups[group] then
    call('XGROUP', 'CREATE', restoring, group, '0-0', 'ENTRIESREAD', 0)
    groups[group] = true
  end
end
for group in pairs(groups) do
  local built, due = base .. '$RESTORING_DUE_KEY:' .. group, base .. '$DUE_KEY:' .. group
  call('UNLINK', due, base .. '$ATTEMPTS_KEY:' .. group, base .. '$REDRIVEN_KEY:' .. group)
  if call('EXISTS', built) == 1 then call('RENAME', built, due) end
  merge_dead_letters(group)
  if any_new_ids then rename_follow_ups(group) end
  merge_follow_ups(group)
end
if any_new_ids then rename_erased() end

-- A forgotten group stays forgotten, unless the hash of the group is there: then it knows better.
local time = call('TIME')
for _, group in ipairs(forgotten) do
  local about = base .. '$GROUP_KEY:' .. group
  if call('EXISTS', about) == 0 then
    call('HSET', about, '$FORGOTTEN_FIELD', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
  end
end

-- No id that was ever given out is given out again.
for _, id in ipairs({last_id(stream), committed}) do
  if above(id, last) then last = id end
end
if last ~= '0-0' then call('XSETID', restoring, last) end

call('HSET', archive, '$COMMITTED_FIELD', committed, '$COMMITTING_FIELD', committed, '$FOLLOWS_FIELD', follows)
if complete_from then
  call('HSET', archive, '$COMPLETE_FROM_FIELD', complete_from)
else
  call('HDEL', archive, '$COMPLETE_FROM_FIELD')
end

call('UNLINK', stream)  -- RENAME would free a large one before anything else can run
call('RENAME', restoring, stream)
call('UNLINK', state, moves, duplicates, base .. '$RESTORING_GROUPS_KEY')
call('DEL', base .. '$RETENTION_KEY')  -- has dead letters read again, as they may have other entries now
return {1, copied, skipped, moved}
""",
)
