-- Where players stand. KEYS: the ranking, the players, the state. ARGV: user ids.
-- Reply: epoch, seq, players on the board; then for each player: rank (0 = not on the board), weight, value (each nil if there
-- is none). Empty when there is no epoch.

local ranking, players, state = KEYS[1], KEYS[2], KEYS[3]
local drawn = redis.call('HMGET', state, 'epoch', 'seq')
if not drawn[1] then return {} end
local reply = {tonumber(drawn[1]), tonumber(drawn[2]), redis.call('ZCARD', ranking)}
for _, user in ipairs(ARGV) do
  local above, n = redis.call('ZREVRANK', ranking, user), #reply
  reply[n + 1] = above and above + 1 or 0
  reply[n + 2] = redis.call('ZSCORE', ranking, user)
  reply[n + 3] = redis.call('HGET', players, user)
end
return reply
