-- What changed after a cursor, and the top at the same moment.
-- KEYS: the ranking, the players, the state, the history. ARGV: owner, epoch, seq, limit, bytes_max.
-- Reply: epoch, seq, players on the board; the steps after the cursor, oldest first, or nil if they are not kept (another
-- epoch, too long ago, too many bytes); then for each row of the top: user id, score, value. Empty as in readable.lua.

local ranking, players, state, history = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = readable()
if not now then return {} end

local missed = now[2] - tonumber(ARGV[3])
local steps = false
if now[1] == tonumber(ARGV[2]) and missed >= 0 and missed <= redis.call('LLEN', history) then
  steps = missed > 0 and redis.call('LRANGE', history, -missed, -1) or {}
  local bytes = 0
  for i = 1, #steps do bytes = bytes + #steps[i] end
  if bytes > tonumber(ARGV[5]) then steps = false end
end

local reply = {now[1], now[2], now[3], steps}
local rows = redis.call('ZREVRANGE', ranking, 0, tonumber(ARGV[4]) - 1, 'WITHSCORES')
for i = 1, #rows, 2 do
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = rows[i], rows[i + 1], redis.call('HGET', players, rows[i])
end
return reply
