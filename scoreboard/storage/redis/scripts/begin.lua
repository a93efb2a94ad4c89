-- Begins a new epoch on the present data. KEYS: the ranking, the players, the state, the history. ARGV: owner, channel, source, epoch,
-- origin. Reply: 1, or 0 if a newer epoch has begun already, or the board is another ledger's.

local there = redis.call('HMGET', KEYS[3], 'epoch', 'owner')
if there[1] and ((tonumber(there[1]) or 0) > tonumber(ARGV[4]) or there[2] ~= ARGV[1]) then return 0 end
redis.call('HSET', KEYS[3], 'epoch', ARGV[4], 'seq', 0, 'origin', ARGV[5])
if not there[1] then
  redis.call('HSET', KEYS[3], 'owner', ARGV[1], 'position', '', 'ranked', redis.call('ZCARD', KEYS[1]), 'players', redis.call('HLEN', KEYS[2]))
end
redis.call('UNLINK', KEYS[4])
redis.call('PUBLISH', ARGV[2], ARGV[3] .. '[' .. ARGV[4] .. ',0,[]]')
return 1
