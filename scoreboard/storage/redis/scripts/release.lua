-- Gives places back. KEYS: the sets they are in; ARGV: their holders, one for each.
for i, key in ipairs(KEYS) do
  redis.call('ZREM', key, ARGV[i])
end
return #KEYS
