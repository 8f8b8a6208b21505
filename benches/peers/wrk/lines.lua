-- Another line of a file with each request: a token or a path. The requests are put together before the first one is sent.
--   wrk -s lines.lua URL -- tokens FILE PATH
--   wrk -s lines.lua URL -- paths FILE TOKEN

local requests, at = {}, 0

function init(args)
   local kind, file, other = args[1], args[2], args[3]
   for line in io.lines(file) do
      local path, token = line, other
      if kind == "tokens" then
         path, token = other, line
      end
      local head = "GET " .. path .. " HTTP/1.1\r\nHost: 127.0.0.1\r\n"
      requests[#requests + 1] = head .. "Authorization: Bearer " .. token .. "\r\n\r\n"
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end
