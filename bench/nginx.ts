import { randomBytes } from 'node:crypto'
import type { Launch } from './process.ts'
import { put, type Workspace } from './workspace.ts'

/** nginx as a service: 128 bytes for anything, one MiB at /big, the body back at /echo. */
export function upstreamServer(workspace: Workspace): Launch {
  put(workspace, 'upstream/big', randomBytes(1 << 20))
  const body = JSON.stringify({ id: 42, ok: true, name: 'item' }).padEnd(128, ' ')
  const server = `server {
    listen 127.0.0.1:${workspace.ports.upstream} backlog=4096;
    default_type application/json;
    location / { return 200 '${body}'; }
    location = /big { alias ${workspace.directory}/upstream/big; }
    location = /echo { content_by_lua_block {
      ngx.req.read_body()
      local body = ngx.req.get_body_data() or ""
      ngx.header["Content-Length"] = #body
      ngx.print(body)
    } }
  }`
  return launch(workspace, 'upstream', server, true)
}

/** nginx as a gateway, `routes` locations or one for all. */
export function nginxGateway(workspace: Workspace, routes: number): Launch {
  const paths = routes === 0 ? ['/'] : Array.from({ length: routes }, (_, index) => `/service-${index}/`)
  return launch(workspace, 'nginx', server(workspace, paths.map((path) => location(path)).join('\n')), false)
}

/** nginx with Lua that does what people write there: checks the token, and asks Redis once for session and count. */
export function luaGateway(workspace: Workspace, gate: 'token' | 'session'): Launch {
  put(workspace, 'gate.lua', lua(workspace))
  const access = `access_by_lua_block { require("gate").${gate}() }`
  return launch(workspace, `lua-${gate}`, server(workspace, location('/', access)), true)
}

/** nginx drops to a user of its own otherwise, who may not read the files of the run. */
const isRoot = process.getuid?.() === 0

function launch(workspace: Workspace, name: string, servers: string, lua: boolean): Launch {
  const { directory, ports } = workspace
  const at = `${directory}/${name}`
  const modules = lua
    ? ['ndk_http_module', 'ngx_http_lua_module'].map(
        (file) => `load_module /usr/lib/nginx/modules/${file}.so;`
      )
    : []
  const paths = `lua_package_path "${directory}/?.lua;/usr/share/lua/5.1/?.lua;;";
  lua_package_cpath "/usr/lib/x86_64-linux-gnu/lua/5.1/?.so;;";`
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${at}-${kind};`
  )
  const config = `${modules.join('\n')}
${isRoot ? 'user root; ' : ''}daemon off; worker_processes 1; pid ${at}.pid; error_log ${at}.log error;
events { worker_connections 4096; }
http {
  access_log off; sendfile on; tcp_nodelay on; server_tokens off; client_body_buffer_size 64k;
  keepalive_requests 100000000; keepalive_timeout 600s;
  ${temporary.join(' ')}
  ${lua ? paths : ''}
  upstream service { server 127.0.0.1:${ports.upstream}; keepalive 256; keepalive_requests 100000000; }
  ${servers}
}
`
  return { command: 'nginx', args: ['-c', put(workspace, `${name}.conf`, config)] }
}

const server = ({ ports }: Workspace, locations: string): string =>
  `server { listen 127.0.0.1:${ports.gateway} backlog=4096;\n${locations}\n}`

const location = (path: string, access = ''): string => `location ${path} { ${access}
  proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }`

const lua = ({ secret, ports }: Workspace): string => `local ffi = require "ffi"
local json = require "cjson.safe"
local base64 = require "ngx.base64"
local crypto = ffi.C
ffi.cdef[[
const void *EVP_sha256(void);
unsigned char *HMAC(const void *, const void *, int, const unsigned char *, size_t, unsigned char *, unsigned int *);
int CRYPTO_memcmp(const void *, const void *, size_t);
]]
local secret, mac, size = "${secret}", ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")
local gate = {}

local function refuse(status) ngx.status = status; return ngx.exit(status) end

local function claims()
  local token = (ngx.var.http_authorization or ""):match("^Bearer (.+)$")
  local head, body, signature = (token or ""):match("^([^.]+)%.([^.]+)%.([^.]+)$")
  if not head then return refuse(401) end
  local header = json.decode(base64.decode_base64url(head) or "")
  if not header or header.alg ~= "HS256" then return refuse(401) end
  local input, given = head .. "." .. body, base64.decode_base64url(signature)
  crypto.HMAC(crypto.EVP_sha256(), secret, #secret, input, #input, mac, size)
  if not given or #given ~= 32 or crypto.CRYPTO_memcmp(given, mac, 32) ~= 0 then return refuse(401) end
  local read = json.decode(base64.decode_base64url(body) or "")
  if not read or not read.exp or read.exp < ngx.time() then return refuse(401) end
  return read
end

local function command(...)
  local parts = { ... }
  local text = { "*" .. #parts .. "\\r\\n" }
  for at = 1, #parts do text[at + 1] = "$" .. #parts[at] .. "\\r\\n" .. parts[at] .. "\\r\\n" end
  return table.concat(text)
end

local function answer(socket)
  local line = socket:receive("*l")
  if not line then return nil end
  local kind, value = line:sub(1, 1), line:sub(2)
  if kind == ":" then return tonumber(value) end
  if kind == "$" then
    if value == "-1" then return nil end
    local text = socket:receive(tonumber(value))
    socket:receive(2)
    return text
  end
  if kind == "*" then
    local list = {}
    for at = 1, tonumber(value) do list[at] = answer(socket) or false end
    return list
  end
  return nil
end

local script = [[
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, 0} end
local count = redis.call('INCR', KEYS[2])
if count == 1 then redis.call('PEXPIRE', KEYS[2], 60000) end
return {1, count}]]
local hash

function gate.token() claims() end

function gate.session()
  local user = claims()
  local socket = ngx.socket.tcp()
  if not socket:connect("127.0.0.1", ${ports.redis}, { pool = "redis", pool_size = 256 }) then return refuse(503) end
  if not hash then
    socket:send(command("SCRIPT", "LOAD", script))
    hash = answer(socket)
  end
  socket:send(command("EVALSHA", hash, "2", "session:" .. user.sid, "count:" .. user.sub))
  local found = answer(socket)
  socket:setkeepalive(600000, 256)
  if not found or found[1] == 0 then return refuse(401) end
  if found[2] > 1e9 then return refuse(429) end
end

return gate
`
