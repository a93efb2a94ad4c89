-- Writes the keys that the specification names for other programs. KEYS: for each award, action:<actionId> and user:score:<userId>.
-- ARGV: for each award: score, rank, lastUpdated.

for i = 1, #KEYS / 2 do
  redis.call('SETEX', KEYS[2 * i - 1], 3600, 'used')
  redis.call('HSET', KEYS[2 * i], 'score', ARGV[3 * i - 2], 'rank', ARGV[3 * i - 1], 'lastUpdated', ARGV[3 * i])
  redis.call('EXPIRE', KEYS[2 * i], 300)
end
return #KEYS
