-- Sends requests that were signed beforehand, read from one file a thread, so that neither signing
-- nor memory is the load generator's. The file: six digits of length, then the request, again and
-- again. When it ends, the run ends.

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(arguments)
  requests = assert(io.open(arguments[1] .. "." .. number, "rb"))
end

function request()
  local size = requests:read(6)
  if size then
    last = requests:read(tonumber(size))
  else
    wrk.thread:stop()
  end
  return last
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"answers":%d,"seconds":%.6f,"mean_ms":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,' ..
    '"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency.mean / 1e3,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
