-- Takes, keeps or releases a lock. KEYS: the lock. ARGV: the holder, life in ms (0 releases it).
-- Reply: 1 while this holder has it, else 0.

local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
