-- Orders under load with wrk: every request submits an order and is held until the order has ended.
-- Closed loop only: wrk has no arrival rate, so its latencies leave out the time a request would have had to wait for a
-- free connection (coordinated omission, see docs/load-testing.md). Compare throughput with it, not tail latency.
-- Does not obey Retry-After: a wrk thread cannot let one of its connections rest.
--
--   wrk -t1 -c8 -d10s --timeout 90s --latency -s load/wrk.lua http://127.0.0.1:8080
--   MODEL=asyncio IO_MS=0 CPU_MS=0 wrk -t1 -c64 -d10s --timeout 90s --latency -s load/wrk.lua http://127.0.0.1:8080
--
-- --timeout must exceed WAIT_S: wrk counts everything slower as a timeout, and its default is 2 s.

local MODELS = { "sequential", "asyncio", "multithreading", "multiprocessing" }

local function env(name, fallback)
  local value = os.getenv(name)
  if value == nil or value == "" then return fallback end
  return value
end

-- Integers only, as the service wants them.
local function whole(name, fallback, lowest, highest)
  local text = env(name, tostring(fallback))
  local value = text:match("^%d+$") and tonumber(text)
  if not value or value < lowest or value > highest then
    error(("%s=%s: want a whole number from %d to %d"):format(name, text, lowest, highest), 0)
  end
  return value
end

local function chosen_models()
  local text = env("MODEL", "all")
  if text == "all" then return MODELS end
  local known, chosen = {}, {}
  for _, model in ipairs(MODELS) do known[model] = true end
  for model in text:gmatch("[^,]+") do
    if not known[model] then
      error(("MODEL=%s: want all or some of %s"):format(model, table.concat(MODELS, ",")), 0)
    end
    chosen[#chosen + 1] = model
  end
  return chosen
end

local function body(model, io_ms, cpu_ms, dishes)
  local work = ('"io_ms":%d,"cpu_ms":%d'):format(io_ms, cpu_ms)
  if io_ms == 0 and cpu_ms == 0 then
    work = '"recipe":{"name":"n","steps":[{"name":"n","work":{"kind":"wait","ms":0}}]}'
  end
  return ('{"model":"%s","dishes":%d,%s}'):format(model, dishes, work)
end

-- Counters are globals because done() runs in another Lua state, which reads them with thread:get.
local COUNTERS = { "submitted", "succeeded", "failed", "refused", "errors" }
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
  thread:set("number", #threads)
end

local wait_s, submissions, turn
local follow_ups = {} -- paths of orders that outlasted their wait; any connection of this thread may ask again

function init(_)
  for _, name in ipairs(COUNTERS) do _G[name] = 0 end
  -- wrk asks thread 1 for one request at start, only to look at it, and never sends it.
  if number == 1 then submitted = -1 end
  wait_s = whole("WAIT_S", 30, 1, 60)
  local io_ms, cpu_ms = whole("IO_MS", 60, 0, 3600000), whole("CPU_MS", 8, 0, 3600000)
  local dishes = whole("DISHES", 1, 1, 3000000)
  submissions, turn = {}, number
  for i, model in ipairs(chosen_models()) do
    submissions[i] = wrk.format("POST", "/orders?wait=" .. wait_s,
      { ["Content-Type"] = "application/json", ["Host"] = wrk.headers["Host"] }, body(model, io_ms, cpu_ms, dishes))
  end
end

function request()
  local path = table.remove(follow_ups)
  if path then return wrk.format("GET", path .. "?wait=" .. wait_s) end
  turn = turn % #submissions + 1
  submitted = submitted + 1
  return submissions[turn]
end

-- Header names arrive as the server wrote them, so look without regard to case.
local function header(headers, wanted)
  for name, value in pairs(headers) do
    if name:lower() == wanted then return value end
  end
end

local function note(text)
  errors = errors + 1
  if errors <= 3 then io.stderr:write(text, "\n") end -- enough to see what is wrong without drowning the figures
end

function response(status, headers, text)
  if status == 429 or status == 503 then
    refused = refused + 1
    return
  end
  if status ~= 200 and status ~= 202 then return note(("answer %d: %s"):format(status, text)) end
  -- A failed order is an HTTP 200: the body tells, and X-Order-Status says the same without parsing.
  local id, state = text:match('"id"%s*:%s*"(ord_[^"]+)"'), text:match('"status"%s*:%s*"(%a+)"')
  local announced = header(headers, "x-order-status")
  if not id or not state or (announced and announced ~= state) then
    return note(("X-Order-Status %s does not go with the body: %s"):format(tostring(announced), text))
  end
  if state == "succeeded" then
    succeeded = succeeded + 1
  elseif state == "queued" or state == "running" then
    follow_ups[#follow_ups + 1] = "/orders/" .. id
  else
    failed = failed + 1
    if failed <= 3 then io.stderr:write("ended ", state, ": ", text, "\n") end
  end
end

function done(summary, _, _)
  local total = {}
  for _, name in ipairs(COUNTERS) do
    total[name] = 0
    for _, thread in ipairs(threads) do total[name] = total[name] + (thread:get(name) or 0) end
  end
  local socket = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  total.errors = total.errors + socket
  -- wrk drops its connections when the time is up. A client that leaves cancels nothing: those orders still run.
  local ended = total.succeeded + total.failed + total.refused + total.errors
  total.unfinished = math.max(0, total.submitted - ended)
  io.write(("orders: submitted=%d succeeded=%d failed=%d refused=%d errors=%d unfinished=%d\n"):format(
    total.submitted, total.succeeded, total.failed, total.refused, total.errors, total.unfinished))
  if total.failed + total.refused + total.errors > 0 or total.succeeded == 0 then os.exit(1) end
end
