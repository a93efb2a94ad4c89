-- A stretch of the board. KEYS: the ranking, the players, the state. ARGV: offset, limit.
-- Reply: epoch, seq, players on the board; then for each row: user id, weight, value. Empty when there is no epoch.

local ranking, players, state = KEYS[1], KEYS[2], KEYS[3]
local drawn = redis.call('HMGET', state, 'epoch', 'seq')
if not drawn[1] then return {} end
local offset = tonumber(ARGV[1])
local rows = redis.call('ZREVRANGE', ranking, offset, offset + tonumber(ARGV[2]) - 1, 'WITHSCORES')
local reply = {tonumber(drawn[1]), tonumber(drawn[2]), redis.call('ZCARD', ranking)}
for i = 1, #rows, 2 do
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = rows[i], rows[i + 1], redis.call('HGET', players, rows[i])
end
return reply
