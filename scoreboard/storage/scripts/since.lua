-- What changed after a cursor, and the top at the same moment.
-- KEYS: the ranking, the players, the state, the history. ARGV: epoch, seq, limit, bytes_told_max.
-- Reply: epoch, seq, players on the board; the steps after the cursor, oldest first, or nil when they are not kept (another
-- epoch, too long ago, too much); then for each row of the top: user id, weight, value. Empty when there is no epoch.

local ranking, players, state, history = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local drawn = redis.call('HMGET', state, 'epoch', 'seq')
if not drawn[1] then return {} end

local missed = tonumber(drawn[2]) - tonumber(ARGV[2])
local steps = false
if tonumber(drawn[1]) == tonumber(ARGV[1]) and missed >= 0 and missed <= redis.call('LLEN', history) then
  steps = missed > 0 and redis.call('LRANGE', history, -missed, -1) or {}
  local bytes = 0
  for i = 1, #steps do bytes = bytes + #steps[i] end
  if bytes > tonumber(ARGV[4]) then steps = false end
end

local reply = {tonumber(drawn[1]), tonumber(drawn[2]), redis.call('ZCARD', ranking), steps}
local rows = redis.call('ZREVRANGE', ranking, 0, tonumber(ARGV[3]) - 1, 'WITHSCORES')
for i = 1, #rows, 2 do
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = rows[i], rows[i + 1], redis.call('HGET', players, rows[i])
end
return reply
