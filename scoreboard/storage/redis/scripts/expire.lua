-- Lets a bucket that has ended go away after a time, all its keys at once. KEYS: the ranking, the players, the state, the history.
-- ARGV: the time in milliseconds.

for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], ARGV[1]) end
return 1
