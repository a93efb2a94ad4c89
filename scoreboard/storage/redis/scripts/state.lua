-- State of the board. KEYS: the ranking, the players, the state.
-- Reply: epoch, seq, position, origin, owner (all as they are stored); players on the board and known players, each as stored and as counted (-1 if
-- the key has another type); seconds since a server last followed the ledger here. Empty if there is no board.

if redis.call('TYPE', KEYS[3]).ok ~= 'hash' then return {} end
local there = redis.call('HMGET', KEYS[3], 'epoch', 'seq', 'position', 'origin', 'owner', 'ranked', 'players', 'followed')
if not there[1] then return {} end

local function count(command, key)
  local found = redis.pcall(command, key)
  return type(found) == 'number' and found or -1
end

local age = redis.call('TIME')[1] - (tonumber(there[8]) or 0)
return {
  there[1], there[2] or '', there[3] or '', there[4] or '', there[5] or '',
  tonumber(there[6]) or -2, count('ZCARD', KEYS[1]), tonumber(there[7]) or -2, count('HLEN', KEYS[2]), age
}
