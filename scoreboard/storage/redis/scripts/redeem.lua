-- Redeems a ticket. KEYS: the ticket. ARGV: the longest life of a ticket in ms. Reply: its value, or nil.
-- Redis expires keys by its wall clock. A ticket with more than a whole life left was issued before that clock was set back. Its age
-- is unknown, so it counts as expired.

local left = redis.call('PTTL', KEYS[1])
local held = redis.call('GETDEL', KEYS[1])
if left > tonumber(ARGV[1]) then return nil end
return held
