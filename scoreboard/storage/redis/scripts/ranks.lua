-- Ranks of players. KEYS: the ranking, the players, the state. ARGV: owner, user ids.
-- Reply: epoch, seq, players on the board; then for each player: rank (0: not on the board), score, value (each nil if there
-- is none). Empty as in readable.lua.

local ranking, players, state = KEYS[1], KEYS[2], KEYS[3]
local now = readable()
if not now then return {} end
local reply = {now[1], now[2], now[3]}
for i = 2, #ARGV do
  local user = ARGV[i]
  local above, n = redis.call('ZREVRANK', ranking, user), #reply
  reply[n + 1] = above and above + 1 or 0
  reply[n + 2] = redis.call('ZSCORE', ranking, user)
  reply[n + 3] = redis.call('HGET', players, user)
end
return reply
