-- Judges a batch of hits and places. Each key is judged for itself, so a batch may be split by key.
--
-- KEYS: the windows, then the sets of places.
-- ARGV[1]: for each window, packed: policy (0 sliding, 1 bucket), quota, window_ms, grain_ms, units, times.
-- ARGV after: for each set of places: holder, quota, ttl_ms.
-- Reply: for each window: how many of `times` hits of `units` were admitted, units left, ms until more come, and ms until
-- the refused ones could be (0 if none was); then for each set: 0 if the place was taken, or ms until one may be free.
--
-- A sliding window is a log: a head (units in it, number of pairs that have left) and pairs (start of slot in ms, units),
-- oldest first. Pairs that left stay until they are half of the log, so a hit costs the same however long the log is.
-- The arithmetic is that of scoreboard/domain/limits.py.

local HEAD, PAIR = 10, 12

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function pair_at(log, index)
  return struct.unpack('<I6I6', log, HEAD + index * PAIR + 1)
end

local function sliding(key, quota, window, grain, units, times)
  local log = redis.call('GET', key)
  local total, first = 0, 0
  if log and (#log - HEAD) % PAIR == 0 then
    total, first = struct.unpack('<I6I4', log)
  else
    log = string.rep('\0', HEAD)
  end
  local count = (#log - HEAD) / PAIR
  local stays = grain - 1 + window  -- a slot counts until it has left the window whole
  while first < count do
    local start, held = pair_at(log, first)
    if start + stays > now then break end
    total, first = total - held, first + 1
  end

  local taken = math.min(times, math.max(0, math.floor((quota - total) / units)))
  if taken > 0 then
    local start, held = now - now % grain, 0
    local kept = string.sub(log, HEAD + 1)
    if first < count then
      local last, last_held = pair_at(log, count - 1)
      if last >= start then  -- also when the clock stepped back
        start, held, kept = last, last_held, string.sub(kept, 1, -PAIR - 1)
        count = count - 1
      end
    end
    if first * 2 > count then
      kept = string.sub(kept, first * PAIR + 1)
      count, first = count - first, 0
    end
    total, count = total + taken * units, count + 1
    log = struct.pack('<I6I4', total, first) .. kept .. struct.pack('<I6I6', start, held + taken * units)
    redis.call('SET', key, log, 'PX', start + stays - now)
  end

  local wait = 0
  if taken < times then
    local excess, index = total + units - quota, first
    wait = window
    while index < count do
      local start, held = pair_at(log, index)
      excess, index = excess - held, index + 1
      if excess <= 0 then
        wait = math.max(1, start + stays - now)
        break
      end
    end
  end
  local reset = wait
  if taken > 0 then reset = pair_at(log, first) + stays - now end
  return taken, quota - total, reset, wait
end

local function bucket(key, quota, window, units, times)
  local held, rate = redis.call('GET', key), quota / window
  local tokens, at = quota, now
  if held and #held == 16 then
    tokens, at = struct.unpack('<dd', held)
    tokens = math.min(quota, tokens + math.max(0, now - at) * rate)
    at = math.max(at, now)
  end
  local taken = 0
  while taken < times and tokens >= units do
    taken, tokens = taken + 1, tokens - units
  end
  local full = math.ceil((quota - tokens) / rate)
  redis.call('SET', key, struct.pack('<dd', tokens, at), 'PX', math.max(1, full))
  local wait = 0
  if taken < times then wait = math.max(1, math.ceil((units - tokens) / rate)) end
  return taken, math.floor(tokens), taken > 0 and full or wait, wait
end

local function place(key, holder, quota, ttl)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if redis.call('ZCARD', key) < quota or redis.call('ZSCORE', key, holder) then
    redis.call('ZADD', key, now + ttl, holder)
    redis.call('PEXPIRE', key, ttl)
    return 0
  end
  local soonest = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return math.max(1, tonumber(soonest[2]) - now)
end

local places = (#ARGV - 1) / 3
local windows = #KEYS - places
local reply, at = {}, 1
for i = 1, windows do
  local policy, quota, window, grain, units, times
  policy, quota, window, grain, units, times, at = struct.unpack('<BI8I8I8I8I4', ARGV[1], at)
  local taken, left, reset, wait
  if policy == 0 then
    taken, left, reset, wait = sliding(KEYS[i], quota, window, grain, units, times)
  else
    taken, left, reset, wait = bucket(KEYS[i], quota, window, units, times)
  end
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = taken, left, reset, wait
end
for i = 0, places - 1 do
  reply[#reply + 1] = place(KEYS[windows + i + 1], ARGV[3 * i + 2], tonumber(ARGV[3 * i + 3]), tonumber(ARGV[3 * i + 4]))
end
return reply
