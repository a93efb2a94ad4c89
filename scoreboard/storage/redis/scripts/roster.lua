-- Enters a server's record and reads those of the others. KEYS: the roster (a hash). ARGV: server id, record, life of a record in ms.
-- Reply: the records of the others that are alive. One that was entered before the clock was set back counts again when its server
-- enters it again.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local found, reply = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #found, 2 do
  local at, record = string.match(found[i + 1], '^(%d+) (.*)$')
  at = tonumber(at)
  if not at or at > now or now - at > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], found[i])
  elseif found[i] ~= ARGV[1] then
    reply[#reply + 1] = record
  end
end
return reply
