import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Writes down what node:http, nginx and caddy say to a few requests: `node build/test/fuzz/record.js`. The fuzzers begin with these bytes;
 * they are recorded anew only to have more of them.
 */
const directory = fileURLToPath(new URL('../../../test/fuzz/recorded/', import.meta.url))
const site = mkdtempSync(join(tmpdir(), 'toll-record-'))
mkdirSync(directory, { recursive: true })
mkdirSync(join(site, 'folder'))
writeFileSync(join(site, 'small.json'), '{"item":"lamp oil"}')
writeFileSync(join(site, 'empty.txt'), '')
writeFileSync(join(site, 'text.txt'), 'A line that is said again and again.\n'.repeat(60))

const get = (path: string, fields = '', version = '1.1', method = 'GET') =>
  `${method} ${path} HTTP/${version}\r\nHost: a.example\r\n${fields}\r\n`

const files: Record<string, string> = {
  json: get('/small.json'),
  'json-head': get('/small.json', '', '1.1', 'HEAD'),
  'json-close': get('/small.json', 'Connection: close\r\n'),
  'old-close': get('/small.json', '', '1.0'),
  empty: get('/empty.txt'),
  gzip: get('/text.txt', 'Accept-Encoding: gzip\r\n'),
  range: get('/text.txt', 'Range: bytes=5-20\r\n'),
  ranges: get('/text.txt', 'Range: bytes=0-3,10-13\r\n'),
  'not-modified': get('/text.txt', 'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n'),
  missing: get('/none'),
  folder: get('/folder')
}

const pages: Record<string, string> = {
  length: get('/length'),
  'length-head': get('/length', '', '1.1', 'HEAD'),
  'length-close': get('/length', 'Connection: close\r\n'),
  chunked: get('/chunked'),
  'chunked-head': get('/chunked', '', '1.1', 'HEAD'),
  'chunked-old-close': get('/chunked', '', '1.0'),
  trailers: get('/trailers', 'TE: trailers\r\n'),
  hints: get('/hints'),
  continue: get('/length', 'Expect: 100-continue\r\nContent-Length: 0\r\n', '1.1', 'POST'),
  events: get('/events'),
  none: get('/none'),
  unchanged: get('/unchanged'),
  cookies: get('/cookies'),
  'malformed-close': 'GET / HTTP/1.1\r\nBad Header: x\r\n\r\n'
}

const server = createServer((request, response) => {
  switch (request.url) {
    case '/length':
      return void response.writeHead(200, { 'content-length': 5, etag: '"a"' }).end('hello')
    case '/chunked':
      response.writeHead(200, { 'content-type': 'text/plain' })
      response.write('hello ')
      return void response.end('world')
    case '/trailers':
      response.writeHead(200, { trailer: 'X-Sum' })
      response.write('ok')
      response.addTrailers({ 'X-Sum': '42' })
      return void response.end()
    case '/hints':
      response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
      return void response.end('ok')
    case '/events':
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: 1\n\n')
      return void response.end('data: 2\n\n')
    case '/none':
      return void response.writeHead(204).end()
    case '/unchanged':
      return void response.writeHead(304, { etag: '"a"', 'content-length': '5' }).end()
    default:
      response.writeHead(302, { location: '/a', 'set-cookie': ['a=1; Path=/', 'b=2; HttpOnly'] })
      return void response.end('{"moved":true}')
  }
})

/** What comes back until nothing has come for a while. */
const said = (port: number, bytes: string): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1')
    socket.setTimeout(400, () => socket.destroy())
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(Buffer.concat(chunks)))
    socket.write(bytes)
  })

async function record(name: string, port: number, requests: Record<string, string>): Promise<void> {
  for (const [what, bytes] of Object.entries(requests)) {
    const answer = await said(port, bytes)
    if (answer.length > 0) writeFileSync(join(directory, `${name}-${what}.http`), answer)
  }
}

/** Resolves once somebody listens. */
async function reachable(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
      socket.unref()
      setTimeout(() => socket.destroy(), 50)
    })
    if (isOpen) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`nobody listens on port ${port}`)
}

await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as AddressInfo
const children: ChildProcess[] = []
try {
  await record('node', port, pages)
  const [nginxPort, caddyPort] = [port + 1, port + 2]
  writeFileSync(
    join(site, 'nginx.conf'),
    `daemon off; master_process off; pid ${site}/nginx.pid; error_log ${site}/error.log; events {}
    http { access_log off; default_type text/plain; gzip on; gzip_types *; gzip_min_length 1; if_modified_since before;
      client_body_temp_path ${site}/a; proxy_temp_path ${site}/b; fastcgi_temp_path ${site}/c; uwsgi_temp_path ${site}/d; scgi_temp_path ${site}/e;
      server { listen 127.0.0.1:${nginxPort}; root ${site};
        location /up/ { proxy_pass http://127.0.0.1:${port}/; proxy_http_version 1.1; } } }`
  )
  writeFileSync(
    join(site, 'Caddyfile'),
    `{\n admin off\n auto_https off\n}\nhttp://:${caddyPort} {\n bind 127.0.0.1\n encode gzip\n handle_path /up/* {\n  reverse_proxy 127.0.0.1:${port}\n }\n handle {\n  root * ${site}\n  file_server\n }\n}\n`
  )
  children.push(spawn('nginx', ['-c', join(site, 'nginx.conf'), '-p', site], { stdio: 'inherit' }))
  children.push(spawn('caddy', ['run', '--config', join(site, 'Caddyfile')], { stdio: 'ignore' }))
  const through = Object.fromEntries(
    Object.entries(pages).map(([name, bytes]) => [`up-${name}`, bytes.replace(' /', ' /up/')])
  )
  for (const [name, at] of [
    ['nginx', nginxPort],
    ['caddy', caddyPort]
  ] as const) {
    await reachable(at)
    await record(name, at, { ...files, ...through })
  }
} finally {
  for (const child of children) child.kill()
  server.close()
  server.closeAllConnections()
  rmSync(site, { recursive: true, force: true })
}
