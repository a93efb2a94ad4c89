-- Puts a drawing made beside the old one in its place, and begins its epoch.
-- KEYS: the ranking, the players, the state; the new ranking, the new players; the history.
-- ARGV: channel, source, epoch, origin, position_ms, the epoch that was there when the drawing was begun ('' = none).
-- Reply: 1, or 0 when someone else hung a newer one meanwhile (ours is thrown away).

local there = redis.call('HGET', KEYS[3], 'epoch') or ''
if there ~= ARGV[6] and there ~= '' and tonumber(there) > tonumber(ARGV[3]) then
  redis.call('UNLINK', KEYS[4], KEYS[5])
  return 0
end
for i = 1, 2 do
  redis.call('UNLINK', KEYS[i])
  if redis.call('EXISTS', KEYS[i + 3]) == 1 then  -- an empty board has no keys
    redis.call('RENAME', KEYS[i + 3], KEYS[i])
    redis.call('PERSIST', KEYS[i])
  end
end
redis.call('UNLINK', KEYS[6])
redis.call('HSET', KEYS[3], 'epoch', ARGV[3], 'seq', 0, 'origin', ARGV[4], 'position', ARGV[5])
redis.call('PUBLISH', ARGV[1], ARGV[2] .. '[' .. ARGV[3] .. ',0,[]]')
return 1
