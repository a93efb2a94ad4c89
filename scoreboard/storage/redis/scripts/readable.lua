-- Stands before every script that reads or sets the board. KEYS begin with the ranking, the players and the state; ARGV[1] is the owner.
--
-- The state names the owner and the number of players. The board of another ledger, and one that has lost a part (a key was evicted or
-- deleted, or has another type), must not be read or set: `readable` returns nil then, else {epoch, seq, players on the board, known players}.

local function readable()
  local there = redis.call('HMGET', KEYS[3], 'epoch', 'seq', 'owner', 'ranked', 'players')
  if not there[1] or there[3] ~= ARGV[1] then return nil end
  local ranked, players = redis.call('ZCARD', KEYS[1]), redis.call('HLEN', KEYS[2])
  if ranked ~= tonumber(there[4]) or players ~= tonumber(there[5]) then return nil end
  local epoch, seq = tonumber(there[1]), tonumber(there[2])
  return epoch and seq and {epoch, seq, ranked, players}
end

