-- Sets the totals of a batch: one step of the board.
--
-- KEYS: the ranking (ZSET), the players (HASH), the state (HASH), the history (LIST).
-- ARGV: channel, source, position_ms, changes_told_max, steps_kept_max; then for each standing: user id, version, weight ('' = not on the
-- board), record, news ('' = none) that are only told. The weight's text goes to ZADD as it came: Lua never sees it as a number.
-- Reply: epoch, seq, players on the board; then for each standing: rank after the step, rank before it (0 = not on the
-- board), 1 if it was applied. Empty when there is no epoch.
--
-- A player's value is "<version>|<record>". A standing is applied if its version is newer than the one drawn.
-- The history has one entry for each seq of the epoch, the newest last; it is cut now and then, not each time.

local ranking, players, state = KEYS[1], KEYS[2], KEYS[3]
local HEAD, WIDTH = 5, 5
local drawn = redis.call('HMGET', state, 'epoch', 'seq', 'position')
if not drawn[1] then return {} end

local function rank(user)
  local above = redis.call('ZREVRANK', ranking, user)
  return above and above + 1 or 0
end

local count = (#ARGV - HEAD) / WIDTH
local users = {}
for i = 1, count do users[i] = ARGV[HEAD + (i - 1) * WIDTH + 1] end
local values = count > 0 and redis.call('HMGET', players, unpack(users)) or {}
local newest, before, applied, some = {}, {}, {}, false
for i = 1, count do
  local user, version = users[i], tonumber(ARGV[HEAD + (i - 1) * WIDTH + 2])
  local known = newest[user] or (values[i] and tonumber(string.match(values[i], '^(%d+)|'))) or -1
  before[i] = rank(user)
  applied[i] = version > known
  if applied[i] then newest[user], some = version, true end
end

local added, removed, written = {}, {}, {}
for i = 1, count do
  local at = HEAD + (i - 1) * WIDTH
  if applied[i] and newest[users[i]] == tonumber(ARGV[at + 2]) then  -- of two in one batch, the newer alone is drawn
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
if #added > 0 then redis.call('ZADD', ranking, unpack(added)) end
if #removed > 0 then redis.call('ZREM', ranking, unpack(removed)) end
if #written > 0 then redis.call('HSET', players, unpack(written)) end
if tonumber(ARGV[3]) > tonumber(drawn[3]) then redis.call('HSET', state, 'position', ARGV[3]) end
local seq = tonumber(drawn[2])
if some then seq = redis.call('HINCRBY', state, 'seq', 1) end

local reply = {tonumber(drawn[1]), seq, redis.call('ZCARD', ranking)}
local told = {}
for i = 1, count do
  local after, n = rank(users[i]), #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = after, before[i], applied[i] and 1 or 0
  if applied[i] then
    local news = ARGV[HEAD + i * WIDTH]
    told[#told + 1] = '[' .. cjson.encode(users[i]) .. ',' .. after .. ',' .. before[i] .. ',' .. ARGV[HEAD + i * WIDTH - 1]
      .. (news == '' and ']' or ',' .. news .. ']')
  end
end
if some then
  if #told > tonumber(ARGV[4]) then told = {} end  -- too many to tell: whoever hears it looks for itself
  local step = '[' .. drawn[1] .. ',' .. seq .. ',[' .. table.concat(told, ',') .. ']]'
  redis.call('RPUSH', KEYS[4], step)
  if seq % 128 == 0 then redis.call('LTRIM', KEYS[4], -ARGV[5], -1) end
  redis.call('PUBLISH', ARGV[1], ARGV[2] .. step)
end
return reply
