-- Puts a new board in the place of the old one and begins its epoch.
-- KEYS: the ranking, the players, the state, the history; the new ranking, the new players.
-- ARGV: owner, channel, source, epoch, origin, position; the epoch and the owner at the start of the rebuild ('': no board);
-- the number of players that were written on the board and in all.
-- Reply: 1, or 0 if another board was put in place meanwhile, or the new one has lost a part (then it is removed).

local function there()
  if redis.call('TYPE', KEYS[3]).ok ~= 'hash' then return {'', ''} end
  local found = redis.call('HMGET', KEYS[3], 'epoch', 'owner')
  return {found[1] or '', found[2] or ''}
end

local now = there()
local epoch = tonumber(now[1]) or 0
local newer = now[1] ~= ARGV[7] and epoch > tonumber(ARGV[4]) and epoch < 1e13  -- no ledger gives out a greater one
local whole = redis.call('ZCARD', KEYS[5]) == tonumber(ARGV[9]) and redis.call('HLEN', KEYS[6]) == tonumber(ARGV[10])
if newer or not whole or (now[2] ~= '' and now[2] ~= ARGV[1] and now[2] ~= ARGV[8]) then
  redis.call('UNLINK', KEYS[5], KEYS[6])
  return 0
end
redis.call('UNLINK', KEYS[3], KEYS[4])
for i = 1, 2 do
  redis.call('UNLINK', KEYS[i])
  if redis.call('EXISTS', KEYS[i + 4]) == 1 then  -- an empty board has no keys
    redis.call('RENAME', KEYS[i + 4], KEYS[i])
    redis.call('PERSIST', KEYS[i])
  end
end
redis.call('HSET', KEYS[3], 'epoch', ARGV[4], 'seq', 0, 'origin', ARGV[5], 'position', ARGV[6], 'owner', ARGV[1],
  'ranked', redis.call('ZCARD', KEYS[1]), 'players', redis.call('HLEN', KEYS[2]), 'followed', redis.call('TIME')[1])
redis.call('PUBLISH', ARGV[2], ARGV[3] .. '[' .. ARGV[4] .. ',0,[]]')
return 1
