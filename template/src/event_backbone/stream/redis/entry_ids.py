"""Entry ids and event ids in scripts: which entry id is above another one, and what is remembered of an event id."""

ENTRY_ID = """
-- Returns the entry id that is remembered of an event id of this second.
local function entry_id(second, known)
  local after, sequence = string.match(known, '^(-?%d+)-?(%d*)$$')
  if sequence == '' then sequence = '0' end
  return string.format('%.0f-%s', second * 1000 + after, sequence)
end
"""

ABOVE = """
-- Whether an entry id is above another one. As text, because a sequence number may need all of 64 bits.
local function above(id, other)
  local milliseconds, sequence = string.match(id, '^(%d+)-(%d+)$$')
  local others, other_sequence = string.match(other, '^(%d+)-(%d+)$$')
  if milliseconds == others then milliseconds, others = sequence, other_sequence end
  return #milliseconds > #others or #milliseconds == #others and milliseconds > others
end
"""

LAST_ID = """
-- Returns the id of the newest entry that a stream ever had; "0-0" when there was none.
local function last_id(key)
  if redis.call('EXISTS', key) == 0 then return '0-0' end
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end
"""

# Needs ``base`` and ENTRY_ID.
EVENT_IDS = """
-- Returns the value of a field of an entry.
local function field_of(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1], i + 1 end
  end
end

-- Returns the event id in the metadata of an entry: its second, and its last 12 bytes. Nothing if it cannot be read.
-- It comes first in what this package writes, and decoding all of it takes longer.
local function event_id_of(fields)
  local metadata = field_of(fields, '$METADATA_FIELD') or ''
  local text = string.match(metadata, '^{"id":"([%x%-]+)"')
  if not text then
    local read, document = pcall(cjson.decode, metadata)
    text = read and type(document) == 'table' and document['id']
  end
  if type(text) ~= 'string' or #text ~= 36 then return end
  local a, b, c, d, e, f = string.match(text, '^(%x+)%-(%x+)%-(%x+)%-(%x+)%-(%x%x%x%x)(%x+)$$')
  if not a or #a ~= 8 or #b ~= 4 or #c ~= 4 or #d ~= 4 then return end
  local rest = struct.pack('>I4I4I4', tonumber(b .. c, 16), tonumber(d .. e, 16), tonumber(f, 16))
  return math.floor(tonumber(a .. b, 16) / 1000), rest
end

local function seen_key(second) return base .. '$SEEN_KEY:' .. string.format('%.0f', second) end

-- Returns the entry id that is remembered of an event id; nothing if it is not.
local function seen(second, rest)
  local known = redis.call('HGET', seen_key(second), rest)
  if known then return entry_id(second, known) end
end

-- Whether a stream has an entry with this id and the same event.
local function has_event(key, id, fields)
  local entry = redis.call('XRANGE', key, id, id)[1]
  if not entry then return false end
  local second, rest = event_id_of(fields)
  local other_second, other_rest = event_id_of(entry[2])
  if second or other_second then return second == other_second and rest == other_rest end
  return table.concat(fields, ' ') == table.concat(entry[2], ' ')
end
"""
