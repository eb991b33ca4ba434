-- What the processes of an account share. Each operation is undivided and goes by this server's clock alone, so that
-- the clocks of the machines do not matter; `local.py` does the same for one process. Everything expires by itself.
--
-- KEYS[1]  qwenimage:{account}:
-- ARGV     the operation, its arguments as JSON, a name for this memory should it have none

local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local at, ask = KEYS[1], cjson.decode(ARGV[2])
local LATE, LEAD, GRACE, PATIENCE, SEAT = 0.01, 0.2, 2.0, 5.0, 0.05
local COMING, SOON, REMEMBERED = 30.0, 5.0, 60.0
local AT_ONCE, FIRST_GAP, RAMP, FASTER = 4, 0.05, 32, 4.0
local LIFE = 21600  -- seconds what was learnt is kept without being used

-- A memory that was lost has another name.
redis.call('SET', at .. 'memory', ARGV[3], 'NX', 'EX', 172800)
local memory = redis.call('GET', at .. 'memory')
redis.call('EXPIRE', at .. 'memory', 172800)

local function text(number) return string.format('%.6f', number) end
local function kept(key) redis.call('EXPIRE', key, LIFE) end
local function drop(key) redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. text(now)) end
local function numbers(key, ...)
  local found = redis.call('HMGET', key, ...)
  for index = 1, #found do found[index] = tonumber(found[index] or 0) or 0 end
  return unpack(found)
end
local function lease(key, holder, life)
  redis.call('ZADD', key, text(now + life), holder)
  kept(key)
end
local function line(name) return at .. 'line:' .. name end
local function forget(name, holder)
  redis.call('ZREM', at .. 'waiting:' .. name, holder)
  redis.call('ZREM', at .. 'promised:' .. name, holder)
end
local function release(name, holder)
  redis.call('ZREM', at .. 'seats:' .. name, holder)
  redis.call('ZREM', at .. 'seats', holder)
end
local function refresh(name)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', at .. 'promised:' .. name, '-inf', '(' .. text(now))) do
    forget(name, gone)
  end
  drop(at .. 'seats:' .. name)
  drop(at .. 'seats')
  drop(at .. 'coming:' .. name)
end
local function bound(cap, learned)
  cap = (cap or 0) > 0 and cap or math.huge
  return (learned or 0) > 0 and math.min(cap, learned) or cap
end

-- Learned, field by field as learning.py has it.
local LEARNED = { 'gap', 'seats', 'quiet', 'judged', 'held', 'step', 'eases', 'slow' }
local function took(name, level)
  local key = line(name)
  local peak, gap, seats, held, step, eases = numbers(key, 'peak', 'gap', 'seats', 'held', 'step', 'eases')
  if level > peak then redis.call('HSET', key, 'peak', level) end
  if now < held or (gap == 0 and seats == 0) then return end
  held = now + math.max(step, 20 * gap)
  if seats > 0 and (redis.call('HGET', key, 'cause') == 'seats' or eases % 2 == 1) then
    redis.call('HSET', key, 'seats', seats + 1, 'held', text(held), 'eases', eases + 1)
  else
    redis.call('HSET', key, 'gap', text(gap * 0.95 ^ (2 ^ eases)), 'slow', 0, 'held', text(held), 'eases', eases + 1)
  end
end

local ops = {}

function ops.ask()
  local name, holder = ask.line, ask.holder
  local key, waiting, coming = line(name), at .. 'waiting:' .. name, at .. 'coming:' .. name
  refresh(name)
  lease(at .. 'peers', ask.peer, 60)
  drop(at .. 'peers')
  local peers = redis.call('ZCARD', at .. 'peers')
  if not ask.look then redis.call('ZREM', coming, holder) end
  redis.call('ZADD', waiting, 'NX', text(ask.ticket > 0 and ask.ticket or now), holder)
  kept(waiting)
  local ticket = tonumber(redis.call('ZSCORE', waiting, holder))
  local rank = redis.call('ZCOUNT', waiting, '-inf', '(' .. text(ticket))
  local all_next, all_quiet = numbers(at .. 'account', 'next', 'quiet')
  local next, quiet, learned, seats, begun = numbers(key, 'next', 'quiet', 'gap', 'seats', 'begun')
  local gap = math.max(ask.gaps[2], learned)
  local ramp = begun - AT_ONCE
  if gap == 0 and ask.gaps[1] == 0 and ramp >= 0 and ramp < RAMP then gap = FIRST_GAP / 2 ^ (ramp / FASTER) end
  local each = math.max(gap, ask.gaps[1])
  local ahead = math.max(all_next, next, all_quiet, quiet) - now
  local free = math.min(
    bound(ask.caps[1]) - redis.call('ZCARD', at .. 'seats'),
    bound(ask.caps[2], seats) - redis.call('ZCARD', at .. 'seats:' .. name)
  )
  local place = ask.look and rank + redis.call('ZCARD', coming) or rank
  local estimate = math.max(ahead, 0) + place * each
  if ask.look and estimate <= SOON and place < free then
    lease(coming, holder, COMING)
    forget(name, holder)
    return { 1, '0', text(ticket), text(estimate), 0, text(now), peers }
  end
  if not ask.look and rank == 0 and free > 0 and ahead <= LEAD then
    local leaves = math.max(ahead + now, now - LATE)
    if ask.gaps[1] > 0 then
      redis.call('HSET', at .. 'account', 'next', text(leaves + ask.gaps[1]))
      kept(at .. 'account')
    end
    redis.call('HSET', key, 'next', text(leaves + gap), 'begun', begun + 1)
    kept(key)
    lease(at .. 'seats', holder, ask.life)
    lease(at .. 'seats:' .. name, holder, ask.life)
    local sent = at .. 'sent:' .. name
    redis.call('ZADD', sent, text(math.max(leaves, now)), holder)
    redis.call('ZREMRANGEBYSCORE', sent, '-inf', text(now - REMEMBERED))
    redis.call('ZREMRANGEBYRANK', sent, 0, -257)
    redis.call('EXPIRE', sent, 120)
    forget(name, holder)
    return { 1, text(math.max(ahead, 0)), text(ticket), '0', redis.call('ZCARD', at .. 'seats:' .. name), text(now),
             peers }
  end
  local wait = estimate - LEAD
  if place >= free then wait = math.max(wait, SEAT * (place + 1)) end
  wait = math.min(math.max(wait, LATE), PATIENCE)
  lease(at .. 'promised:' .. name, holder, wait + GRACE)
  return { 0, text(wait), text(ticket), text(estimate), 0, text(now), peers }
end

function ops.missed()
  local key = line(ask.line)
  local all_next, all_quiet = numbers(at .. 'account', 'next', 'quiet')
  local next, quiet, learned = numbers(key, 'next', 'quiet', 'gap')
  local leaves = math.max(all_next, next, all_quiet, quiet, now)
  if ask.gaps[1] > 0 then
    redis.call('HSET', at .. 'account', 'next', text(leaves + ask.gaps[1]))
    kept(at .. 'account')
  end
  redis.call('HSET', key, 'next', text(leaves + math.max(ask.gaps[2], learned)))
  kept(key)
  redis.call('ZADD', at .. 'sent:' .. ask.line, text(leaves), ask.holder)
  return text(leaves - now)
end

function ops.leave()
  forget(ask.line, ask.holder)
  release(ask.line, ask.holder)
end

ops['end'] = function()
  release(ask.line, ask.holder)
  if ask.accepted then took(ask.line, ask.level) end
  if ask.refused then redis.call('ZREM', at .. 'sent:' .. ask.line, ask.holder) end
end

function ops.job()
  release(ask.line, ask.holder)
  lease(at .. 'seats', ask.job, ask.life)
  lease(at .. 'seats:' .. ask.line, ask.job, ask.life)
  took(ask.line, ask.level)
end

function ops.evidence()
  refresh(ask.line)
  local found = redis.call('ZRANGE', at .. 'sent:' .. ask.line, 0, -1, 'WITHSCORES')
  local sent, mine = {}, now
  for index = 1, #found, 2 do
    if found[index] == ask.holder then mine = tonumber(found[index + 1]) else sent[#sent + 1] = found[index + 1] end
  end
  local key = line(ask.line)
  local learned = redis.call('HMGET', key, unpack(LEARNED))
  for index = 1, #learned do learned[index] = learned[index] or '0' end
  local running = redis.call('ZCARD', at .. 'seats:' .. ask.line)
  if redis.call('ZSCORE', at .. 'seats:' .. ask.line, ask.holder) then running = running - 1 end
  return { text(now), text(mine), sent, running, (numbers(key, 'peak')), learned,
           redis.call('HGET', key, 'cause') or '' }
end

function ops.learn()
  if ask.silence > 0 then
    local _, quiet = numbers(at .. 'account', 'next', 'quiet')
    redis.call('HSET', at .. 'account', 'quiet', text(math.max(quiet, now + ask.silence)))
    kept(at .. 'account')
  end
  local key = line(ask.line)
  local judged = numbers(key, 'judged')
  if text(judged) ~= text(ask.before) then return 0 end
  for index, field in ipairs(LEARNED) do redis.call('HSET', key, field, text(ask.learned[index])) end
  redis.call('HSET', key, 'cause', ask.cause)
  kept(key)
  return 1
end

function ops.renew()
  for holder, held in pairs(ask.leases) do
    lease(at .. 'seats', holder, held[2])
    lease(at .. 'seats:' .. held[1], holder, held[2])
  end
end

function ops.poll()
  local key = at .. 'polls'
  local next, quiet = numbers(key, 'next', 'quiet')
  local ahead = math.max(next, quiet) - now
  if ahead > 0 then return text(ahead) end
  redis.call('HSET', key, 'next', text(math.max(next, quiet, now - LATE) + ask.gap))
  redis.call('EXPIRE', key, 3600)
  ops.renew()
  return '0'
end

function ops.heard()
  local key = at .. 'polls'
  if not ask.hush or ask.hush == cjson.null then
    redis.call('HDEL', key, 'hushes')
    return
  end
  local quiet, hushes = numbers(key, 'quiet', 'hushes')
  if now >= quiet then hushes = hushes + 1 end
  local asked = ask.hush > 0 and ask.hush or ask.first * 2 ^ (hushes - 1)
  redis.call('HSET', key, 'quiet', text(math.max(quiet, now + math.min(asked, ask.longest))), 'hushes', hushes)
  redis.call('EXPIRE', key, 3600)
end

-- Money: whole numbers, so that it adds up.
local function spent(name) return at .. 'spent:' .. name end
local function book(counters, micros, once)
  if not redis.call('SET', at .. 'booked:' .. once, '1', 'NX', 'EX', 3600) then return end
  for _, each in ipairs(counters) do
    redis.call('INCRBY', spent(each[2]), string.format('%.0f', micros))
    redis.call('EXPIRE', spent(each[2]), each[4])
  end
end

function ops.reserve()
  if ask.memory ~= memory then return { 'lost', 0 } end
  for _, each in ipairs(ask.counters) do
    local so_far = tonumber(redis.call('GET', spent(each[2])) or 0)
    if so_far + ask.micros > each[3] then return { each[1], so_far } end
  end
  book(ask.counters, ask.micros, 'reserve:' .. ask.id)
end

function ops.settle() book(ask.counters, ask.paid - ask.micros, 'settle:' .. ask.id) end

function ops.bill()
  redis.call('SET', at .. 'bill:' .. ask.job, cjson.encode({ ask.micros, ask.counters }), 'EX', 259200)
end

function ops.settle_job()
  local found = redis.call('GET', at .. 'bill:' .. ask.job)
  if not found then return end
  redis.call('DEL', at .. 'bill:' .. ask.job)
  local bill = cjson.decode(found)
  if ask.paid and ask.paid ~= cjson.null then book(bill[2], ask.paid - bill[1], 'job:' .. ask.job) end
end

-- Requests that make jobs, and whose each job is, as claims.py has it. They are whole from the moment on that is marked
-- in all three keys, so that one which is evicted takes the mark with it; so does a start of the server, which may have
-- lost its last seconds, and another server. One that does not say which it is marks every moment anew.
local told, jobs, ends = at .. 'told', at .. 'jobs', at .. 'told:ends'
local function whole_since()
  local info = redis.pcall('INFO', 'server')
  local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ARGV[3]
  local mark = redis.call('HGET', told, 'mark') or ''
  local marked = string.sub(mark, 1, #run + 1) == run .. ' '
  if not (marked and redis.call('HGET', jobs, 'mark') == mark and redis.call('ZSCORE', ends, 'mark')) then
    mark = run .. ' ' .. text(now)
    redis.call('HSET', told, 'mark', mark)
    redis.call('HSET', jobs, 'mark', mark)
    redis.call('ZADD', ends, '+inf', 'mark')
  end
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', '(' .. text(now), 'LIMIT', 0, 100)) do
    redis.call('HDEL', told, gone)
    redis.call('HDEL', jobs, gone)
    redis.call('ZREM', ends, gone)
  end
  for _, key in ipairs({ told, jobs, ends }) do redis.call('EXPIRE', key, 172800) end
  return tonumber(string.sub(mark, #run + 2))
end
local function put(key, field, value)
  redis.call('HSET', key, field, value)
  redis.call('ZADD', ends, text(now + ask.kept), field)
end
local function drop_told(owner)
  redis.call('HDEL', told, 'by:' .. owner)
  redis.call('ZREM', ends, 'by:' .. owner)
end

function ops.tell()
  whole_since()
  local field = 'by:' .. ask.owner
  local before = redis.call('HGET', told, field)
  -- Of the same second, and given up since: there may be a job of it all the same.
  if before and before ~= ask.facts and not ask.again then put(told, field .. '#' .. ARGV[3], before) end
  put(told, field, ask.facts)
  return 1
end

function ops.untell()
  drop_told(ask.owner)
  return 1
end

function ops.claim()
  whole_since()
  local field = 'job:' .. ask.job
  local owner = redis.call('HGET', jobs, field)
  if owner and owner ~= ask.owner then return 0 end
  put(jobs, field, ask.owner)
  drop_told(ask.owner)
  return 1
end

function ops.known()
  local since, requests, owners = whole_since(), {}, {}
  local found = redis.call('HGETALL', told)
  for index = 1, #found, 2 do
    local owner = string.match(found[index], '^by:(.+)$')
    if owner then requests[#requests + 1], requests[#requests + 2] = owner, found[index + 1] end
  end
  for _, job in ipairs(ask.jobs) do
    local owner = redis.call('HGET', jobs, 'job:' .. job)
    if owner then owners[#owners + 1], owners[#owners + 2] = job, owner end
  end
  return { text(now - since), requests, owners }
end

return { memory, ops[ARGV[1]]() or false }
