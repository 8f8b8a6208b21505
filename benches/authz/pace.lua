-- For wrk: with an argument, each connection waits a random time before a request, that many milliseconds in the mean, so
-- that requests come as those of strangers do and not in step. Tells what came of it as one line of JSON.

function init(args)
  local mean_ms = tonumber(args[1])
  if not mean_ms then return end
  math.randomseed(1)
  delay = function() return math.random(0, 2 * mean_ms) end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format('{"requests": %d, "seconds": %f, "failed": %d, "p50_us": %d, "p99_us": %d}',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50), latency:percentile(99)))
end
