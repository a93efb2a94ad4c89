-- Notes the position of the ledger up to which the board has all. KEYS: the state. ARGV: owner, epoch, position.
-- Reply: 1, or 0 if the board is another one now.

local there = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if there[1] ~= ARGV[1] or there[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'position', ARGV[3], 'followed', redis.call('TIME')[1])
return 1
