-- Checks a batch of requests. A request is admitted by all of its windows and its slots, or it is counted in none.
--
-- KEYS: the windows, then the sets of slots. A Redis Cluster would need one call for each hash slot, and so one for each window:
-- a request could then not be checked as a whole. This script is for one Redis (or one with replicas).
-- ARGV[1]: for each window, packed: policy (0 sliding, 1 token bucket), quota, window_ms, grain_ms, the units that the batch takes.
-- ARGV[2]: for each request, packed: how many windows it needs, 1 if it needs a slot, then for each window its number and units.
-- ARGV after: for each set of slots, in the order of the requests: holder, quota, ttl_ms.
-- Reply: for each window the units left and the ms until it has more. Then for each refused request: its number; which of its
-- windows refuses longest (or the number of its windows, if its slot does); the ms until that may admit the request; and the units
-- left in its last window and the ms until that has more.
--
-- A sliding window is a log: a head (units in it, number of pairs that have left) and pairs (start of the interval in ms, units),
-- oldest first. Pairs that left are cut off when they are half of the log, so a hit costs the same however long the log is.
-- A token bucket is a format number, a level (one token is window_ms of it) and the time of that level.
-- The arithmetic is that of scoreboard/domain/limits.py. TIME is a wall clock. A time in its future was written before the clock was
-- set back, and counts as written just now, so that no request waits longer than a window.
-- Each call makes its functions anew, so functions that few calls need are made where they are needed.

local HEAD, PAIR, BUCKET = 10, 12, 2
local call, pack, unpack, ceil, max = redis.call, struct.pack, struct.unpack, math.ceil, math.max

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- A window is an array with these members. Only a log has the last nine, and only a token bucket has LEVEL.
local KEY, POLICY, QUOTA, SPAN, LEFT, WANTED, TAKEN, LEVEL = 1, 2, 3, 4, 5, 6, 7, 8
local SLOT, STAYS, LOG, TOTAL, FIRST, COUNT, NEWEST, OLDEST, MOVED = 8, 9, 10, 11, 12, 13, 14, 15, 16

local function open_log(key, quota, span, grain, wanted)
  local log, total, first, moved = call('GET', key), 0, 0, false
  if log and (#log - HEAD) % PAIR == 0 then
    total, first = unpack('<I6I4', log)
  else
    log = string.rep('\0', HEAD)
  end
  local slot, stays = now - now % grain, grain - 1 + span  -- an interval counts until all of it has left the window
  local count, newest, oldest = (#log - HEAD) / PAIR, false, slot
  if first < count then
    newest = unpack('<I6', log, #log - PAIR + 1)
    if newest > slot then  -- the clock was set back: move the pairs that have not left back by as much
      local pairs = {}
      for index = first, count - 1 do
        local start, held = unpack('<I6I6', log, HEAD + index * PAIR + 1)
        pairs[#pairs + 1] = pack('<I6I6', max(0, start - newest + slot), held)
      end
      log = string.rep('\0', HEAD) .. table.concat(pairs)
      first, count, newest, moved = 0, #pairs, slot, true
    end
    while first < count do
      local start, held = unpack('<I6I6', log, HEAD + first * PAIR + 1)
      if start + stays > now then
        oldest = start
        break
      end
      total, first = total - held, first + 1
    end
  end
  return {key, 0, quota, span, quota - total, wanted, 0, slot, stays, log, total, first, count, newest, oldest, moved}
end

local function open_bucket(key, quota, span, wanted)
  local held, level = call('GET', key), quota * span
  if held and #held == 17 and string.byte(held) == BUCKET then
    local known, at = unpack('<I8I8', held, 2)
    level = math.min(level, known + max(0, now - at) * quota)
  end
  return {key, 1, quota, span, (level - level % span) / span, wanted, 0, level}
end

-- Milliseconds until the window has more units, after this many were taken.
local function reset(w, taken)
  if w[POLICY] == 0 then return w[OLDEST] + w[STAYS] - now end
  return ceil((w[QUOTA] * w[SPAN] - w[LEVEL] + taken * w[SPAN]) / w[QUOTA])
end

local windows, at, room = {}, 1, true
local places = (#ARGV - 2) / 3
for i = 1, #KEYS - places do
  local policy, quota, span, grain, wanted
  policy, quota, span, grain, wanted, at = unpack('<BI8I8I8I8', ARGV[1], at)
  local w = policy == 0 and open_log(KEYS[i], quota, span, grain, wanted) or open_bucket(KEYS[i], quota, span, wanted)
  if wanted > w[LEFT] then room = false end
  windows[i] = w
end

-- Most batches fit as a whole: then single requests are not checked. `waits` has the wait for each slot that was requested.
local waits, whole, place = {}, room, nil
if places > 0 then
  place = function(number)  -- takes a slot: 0, or the ms until one may be free
    local key, holder = KEYS[#windows + number], ARGV[3 * number]
    local quota, ttl = tonumber(ARGV[3 * number + 1]), tonumber(ARGV[3 * number + 2])
    call('ZREMRANGEBYSCORE', key, '-inf', now)
    if call('ZCARD', key) < quota or call('ZSCORE', key, holder) then
      call('ZADD', key, now + ttl, holder)
      call('PEXPIRE', key, ttl)
      return 0
    end
    local beyond = call('ZRANGEBYSCORE', key, '(' .. now + ttl, '+inf')  -- taken before the clock was set back
    for _, other in ipairs(beyond) do call('ZADD', key, now + ttl, other) end
    if #beyond > 0 then call('PEXPIRE', key, ttl) end
    local soonest = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    return max(1, tonumber(soonest[2]) - now)
  end
  for number = 1, room and places or 0 do
    waits[number] = place(number)
    whole = whole and waits[number] == 0
  end
end

local refused = {}
if not whole then
  -- Milliseconds until a window that refuses these units may admit them.
  local function wait(w, units)
    if w[POLICY] == 1 then return ceil(((units + w[TAKEN]) * w[SPAN] - w[LEVEL]) / w[QUOTA]) end
    local excess = w[TOTAL] + w[TAKEN] + units - w[QUOTA]
    for index = w[FIRST], w[COUNT] - 1 do
      local start, held = unpack('<I6I6', w[LOG], HEAD + index * PAIR + 1)
      excess = excess - held
      if excess <= 0 then return max(1, start + w[STAYS] - now) end
    end
    return w[SLOT] + w[STAYS] - now
  end

  -- One request after the other, because a refused one leaves its units to the next.
  local asks, ask, number = ARGV[2], 0, 0
  at = 1
  while at <= #asks do
    local needs, placed, by, longest, last, units = 0, 0, nil, 0, nil, 0
    needs, placed, at = unpack('<BB', asks, at)
    local mine, costs = {}, {}
    for use = 1, needs do
      local index
      index, units, at = unpack('<I2I8', asks, at)
      last = windows[index + 1]
      mine[use], costs[use] = last, units
      if last[LEFT] - last[TAKEN] < units then
        local ms = wait(last, units)
        if ms > longest then by, longest = use - 1, ms end
      end
    end
    number = number + placed
    if placed == 1 and not by then
      local ms = waits[number] or place(number)
      if ms > 0 then by, longest = needs, ms end
    end
    if by then
      local n, left, more = #refused, 0, 0
      if last then
        left = last[LEFT] - last[TAKEN]
        more = left < units and wait(last, units) or reset(last, last[TAKEN] + units)
      end
      refused[n + 1], refused[n + 2], refused[n + 3], refused[n + 4], refused[n + 5] = ask, by, longest, left, more
    else
      for use = 1, needs do mine[use][TAKEN] = mine[use][TAKEN] + costs[use] end
    end
    ask = ask + 1
  end
end

local reply = {}
for i = 1, #windows do
  local w = windows[i]
  local taken = whole and w[WANTED] or w[TAKEN]
  local more = reset(w, taken)
  if w[POLICY] == 1 then
    call('SET', w[KEY], pack('<BI8I8', BUCKET, w[LEVEL] - taken * w[SPAN], now), 'PX', max(1, more))
  elseif taken > 0 or w[MOVED] then
    local log, first, count, slot = w[LOG], w[FIRST], w[COUNT], w[SLOT]
    local kept = string.sub(log, HEAD + 1)
    if taken > 0 then
      local held = taken
      if first < count and w[NEWEST] == slot then
        held = held + unpack('<I6', log, #log - 5)
        kept, count = string.sub(kept, 1, -PAIR - 1), count - 1
      end
      if first * 2 > count then
        kept, first = string.sub(kept, first * PAIR + 1), 0
      end
      kept = kept .. pack('<I6I6', slot, held)
    end
    call('SET', w[KEY], pack('<I6I4', w[TOTAL] + taken, first) .. kept, 'PX', slot + w[STAYS] - now)
  end
  reply[2 * i - 1], reply[2 * i] = w[LEFT] - taken, more
end
for i = 1, #refused do reply[#reply + 1] = refused[i] end
return reply
