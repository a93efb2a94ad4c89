-- Sets the totals of a batch: one step of the board.
--
-- KEYS: the ranking (ZSET), the players (HASH), the state (HASH), the history (LIST).
-- ARGV: owner, channel, source, overwrite ('1': also set a total of the same version), changes_published_max, steps_kept_max; then
-- for each standing: user id, version, score ('': not on the board), record, news ('': none), which are published and not stored. The
-- text of the score goes to ZADD unchanged: Lua never makes a number of it.
-- Reply: epoch, seq, players on the board; then for each standing: rank after the step, rank before it (0: not on the board), 1 if
-- it was applied, 1 if the board had a newer version of the player or another record of this one. Empty as in readable.lua.
--
-- A player's value is "<version>|<record>". A standing is applied if its version is newer than that value's.
-- The history has one entry for each seq of the epoch, the newest last; it is trimmed at every 128th seq.

local ranking, players, state = KEYS[1], KEYS[2], KEYS[3]
local HEAD, WIDTH = 6, 5
local now = readable()
if not now then return {} end

local function rank(user)
  local above = redis.call('ZREVRANK', ranking, user)
  return above and above + 1 or 0
end

local count = (#ARGV - HEAD) / WIDTH
local users = {}
for i = 1, count do users[i] = ARGV[HEAD + (i - 1) * WIDTH + 1] end
local values = count > 0 and redis.call('HMGET', players, unpack(users)) or {}
local newest, before, applied, ahead, some = {}, {}, {}, {}, false
for i = 1, count do
  local at = HEAD + (i - 1) * WIDTH
  local user, version = users[i], tonumber(ARGV[at + 2])
  local written_version = values[i] and tonumber(string.match(values[i], '^(%d+)|')) or -1
  local known = newest[user] or written_version
  before[i] = rank(user)
  applied[i] = version > known or (ARGV[4] == '1' and version == known)
  ahead[i] = written_version > version or (written_version == version and values[i] ~= ARGV[at + 2] .. '|' .. ARGV[at + 4])
  if applied[i] then newest[user], some = version, true end
end

local added, removed, written = {}, {}, {}
for i = 1, count do
  local at = HEAD + (i - 1) * WIDTH
  if applied[i] and newest[users[i]] == tonumber(ARGV[at + 2]) then  -- of two standings of one player, only the newer is set
    if ARGV[at + 3] == '' then
      removed[#removed + 1] = users[i]
    else
      added[#added + 1] = ARGV[at + 3]
      added[#added + 1] = users[i]
    end
    written[#written + 1] = users[i]
    written[#written + 1] = ARGV[at + 2] .. '|' .. ARGV[at + 4]
  end
end
local seq, ranked, known = now[2], now[3], now[4]
if #added > 0 then ranked = ranked + redis.call('ZADD', ranking, unpack(added)) end
if #removed > 0 then ranked = ranked - redis.call('ZREM', ranking, unpack(removed)) end
if #written > 0 then known = known + redis.call('HSET', players, unpack(written)) end
if some then
  seq = seq + 1
  if ranked == now[3] and known == now[4] then
    redis.call('HSET', state, 'seq', seq)
  else
    redis.call('HSET', state, 'seq', seq, 'ranked', ranked, 'players', known)
  end
end

local reply = {now[1], seq, ranked}
local changes = {}
for i = 1, count do
  local after, n = rank(users[i]), #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = after, before[i], applied[i] and 1 or 0, ahead[i] and 1 or 0
  if applied[i] then
    local news = ARGV[HEAD + i * WIDTH]
    changes[#changes + 1] = '[' .. cjson.encode(users[i]) .. ',' .. after .. ',' .. before[i] .. ',' .. ARGV[HEAD + i * WIDTH - 1]
      .. (news == '' and ']' or ',' .. news .. ']')
  end
end
if some then
  if #changes > tonumber(ARGV[5]) then changes = {} end  -- too many to publish: other servers read the board instead
  local step = '[' .. now[1] .. ',' .. seq .. ',[' .. table.concat(changes, ',') .. ']]'
  redis.call('RPUSH', KEYS[4], step)
  if seq % 128 == 0 then redis.call('LTRIM', KEYS[4], -ARGV[6], -1) end
  redis.call('PUBLISH', ARGV[2], ARGV[3] .. step)
end
return reply
