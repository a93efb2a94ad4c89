-- A digest of some players of the board, to compare with the ledger's. ARGV: owner, user ids.
-- Reply: epoch, seq, players on the board; SHA-1 of "version:score;" of each, both empty where there is none. Empty as in readable.lua.

local now = readable()
if not now then return {} end
local users = {unpack(ARGV, 2)}
local values = redis.call('HMGET', KEYS[2], unpack(users))
local weights = redis.call('ZMSCORE', KEYS[1], unpack(users))
local written = {}
for i = 1, #users do
  local weight = weights[i]
  local version = values[i] and string.match(values[i], '^(%d+)|') or ''
  written[i] = version .. ':' .. (weight and string.format('%.17g', tonumber(weight)) or '') .. ';'
end
return {now[1], now[2], now[3], redis.sha1hex(table.concat(written))}
