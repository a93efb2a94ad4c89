-- Takes a ticket. KEYS: the ticket. ARGV: the longest life of a ticket in ms. Reply: what it holds, or nil.
-- Redis ends keys by its wall clock. A ticket with more left than a whole life was issued before that clock was set back: how old it
-- is, nobody can know, so it is as good as ended.

local left = redis.call('PTTL', KEYS[1])
local held = redis.call('GETDEL', KEYS[1])
if left > tonumber(ARGV[1]) then return nil end
return held
