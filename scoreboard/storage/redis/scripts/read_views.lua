-- Stretches of the board at one moment. KEYS: the ranking, the players, the state.
-- ARGV: owner; for each stretch 'at', offset, limit or 'around', user id, rows above and below.
-- Reply: epoch, seq, players on the board; then for each stretch an array: how many rows are above it, and for each row user id,
-- weight, value. Around who is not on the board there is nothing. Empty as in readable.lua.

local ranking, players, state = KEYS[1], KEYS[2], KEYS[3]
local now = readable()
if not now then return {} end

local function stretch(first, last)
  local found = redis.call('ZREVRANGE', ranking, first, last, 'WITHSCORES')
  local users = {}
  for i = 1, #found, 2 do users[#users + 1] = found[i] end
  local values = #users > 0 and redis.call('HMGET', players, unpack(users)) or {}
  local told = {first}
  for i = 1, #users do
    local n = #told
    told[n + 1], told[n + 2], told[n + 3] = users[i], found[2 * i], values[i]
  end
  return told
end

local reply = {now[1], now[2], now[3]}
for i = 2, #ARGV, 3 do
  if ARGV[i] == 'at' then
    local first = tonumber(ARGV[i + 1])
    reply[#reply + 1] = stretch(first, first + tonumber(ARGV[i + 2]) - 1)
  else
    local above = redis.call('ZREVRANK', ranking, ARGV[i + 1])
    local rows = tonumber(ARGV[i + 2])
    reply[#reply + 1] = above and stretch(math.max(0, above - rows), above + rows) or {0}
  end
end
return reply
