-- Reads views of the board at one moment. KEYS: the ranking, the players, the state.
-- ARGV: owner; for each view 'at', offset, limit or 'around', user id, rows above and below.
-- Reply: epoch, seq, players on the board; then for each view an array: the number of rows above it, and for each row user id, score,
-- value. A view around a player who is not on the board is empty. Empty as in readable.lua.

local ranking, players, state = KEYS[1], KEYS[2], KEYS[3]
local now = readable()
if not now then return {} end

local function rows_between(first, last)
  local found = redis.call('ZREVRANGE', ranking, first, last, 'WITHSCORES')
  local users = {}
  for i = 1, #found, 2 do users[#users + 1] = found[i] end
  local values = #users > 0 and redis.call('HMGET', players, unpack(users)) or {}
  local view = {first}
  for i = 1, #users do
    local n = #view
    view[n + 1], view[n + 2], view[n + 3] = users[i], found[2 * i], values[i]
  end
  return view
end

local reply = {now[1], now[2], now[3]}
for i = 2, #ARGV, 3 do
  if ARGV[i] == 'at' then
    local first = tonumber(ARGV[i + 1])
    reply[#reply + 1] = rows_between(first, first + tonumber(ARGV[i + 2]) - 1)
  else
    local above = redis.call('ZREVRANK', ranking, ARGV[i + 1])
    local rows = tonumber(ARGV[i + 2])
    reply[#reply + 1] = above and rows_between(math.max(0, above - rows), above + rows) or {0}
  end
end
return reply
