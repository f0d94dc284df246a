"""Where the payload hashes of an entry are, for scripts."""

# Needs ``base``, ``call``, ``places`` (each {purpose, storage, whether it counts}), ``measured``, ``elsewhere`` and
# ``others``.
HASHES = """
-- Returns the event id in the metadata of an entry, and the references to its payload, each {storage, key}.
local function references_of(fields)
  local metadata = ''
  for i = 1, #fields, 2 do
    if fields[i] == '$METADATA_FIELD' then metadata = fields[i + 1] end
  end
  local id = string.match(metadata, '^{"id":"([%x%-]+)"')
  if id then
    local name = string.match(metadata, '"payload":%["([%w%-]+)"%]')
    if name then return id, { {name, id} } end
    local other, key = string.match(metadata, '"payload":%[%["([%w%-]+)","([^"\\\\]+)"%]%]')
    if other then return id, { {other, key} } end
    if string.find(metadata, '"payload":[]', 1, true) then return id, {} end
  end
  local read, document = pcall(cjson.decode, metadata)
  if not read or type(document) ~= 'table' or type(document['id']) ~= 'string' then return nil, {} end
  local references = {}
  for i, each in ipairs(type(document.payload) == 'table' and document.payload or {}) do
    references[i] = type(each) == 'table' and each or {each, document['id']}
  end
  return document['id'], references
end

-- Adds the keys of an entry's payload hashes to ``keys``; returns what those take that count, if that is measured.
local function add_hashes(fields, keys)
  local size = 0
  if #places == 0 and not elsewhere[1] then return size end
  local id, references = references_of(fields)
  if not id then return size end
  for _, place in ipairs(places) do
    local purpose, of_storage, counts = place[1], place[2], place[3]
    local function add(key)
      key = base .. purpose .. ':' .. key
      if measured and counts then size = size + (call('MEMORY', 'USAGE', key) or 0) end
      keys[#keys + 1] = key
    end
    if of_storage == '' then
      add(id)
    else
      for _, each in ipairs(references) do
        if each[1] == of_storage then add(each[2]) end
      end
    end
  end
  for _, each in ipairs(references) do
    for _, name in ipairs(elsewhere) do
      if each[1] == name then others[#others + 1] = {id, each[1], each[2]} end
    end
  end
  return size
end
"""
