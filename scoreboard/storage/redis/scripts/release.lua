-- Releases slots. KEYS: the set of each slot. ARGV: the holder of each slot.
for i, key in ipairs(KEYS) do
  redis.call('ZREM', key, ARGV[i])
end
return #KEYS
