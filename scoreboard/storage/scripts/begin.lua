-- Begins a new epoch on what is drawn. KEYS: the state, the history. ARGV: channel, source, epoch, origin.
-- Reply: 1, or 0 when a newer epoch has begun already.

local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'seq', 0, 'origin', ARGV[4])
redis.call('UNLINK', KEYS[2])
redis.call('HSETNX', KEYS[1], 'position', 0)
redis.call('PUBLISH', ARGV[1], ARGV[2] .. '[' .. ARGV[3] .. ',0,[]]')
return 1
