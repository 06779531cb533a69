/**
 * The least that passes requests on over Node.js, as one would write it: its own HTTP server, a socket to the service, and nothing in between
 * that could be left out. It trusts the service's framing, knows no timeouts, logs and counts nothing, so it is no gateway, but what one can
 * be held against. It sends each message when it has it.
 */

import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { Redis } from 'ioredis'

const { port, upstream, redis, secret, gate } = JSON.parse(process.argv[2])
const service = new URL(upstream)

const idle = []

/** One connection to the service: a request at a time, its answer collected and told as a whole. */
class Upstream {
  constructor() {
    this.socket = connect({ port: Number(service.port), host: service.hostname, noDelay: true })
    this.socket.setEncoding('latin1')
    this.socket.on('data', (text) => this.read(text))
    this.socket.on('error', () => {})
    this.text = ''
    this.pieces = undefined
    this.missing = 0
  }

  ask(request, tell) {
    this.tell = tell
    this.socket.write(request, 'latin1')
  }

  read(text) {
    if (this.pieces === undefined) {
      this.text += text
      const end = this.text.indexOf('\r\n\r\n')
      if (end < 0) return
      this.lines = this.text.slice(0, end).split('\r\n')
      const [, length] = /\r\ncontent-length: (\d+)/i.exec(this.text)
      text = this.text.slice(end + 4)
      this.text = ''
      this.pieces = ''
      this.missing = Number(length)
    }
    this.pieces += text
    this.missing -= text.length
    if (this.missing > 0) return
    const body = this.pieces
    this.pieces = undefined
    idle.push(this)
    this.tell(this.lines, body)
  }
}

function pass(request, body, response) {
  const { rawHeaders } = request
  let head = `${request.method} ${request.url} HTTP/1.1\r\n`
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (!/^connection$/i.test(rawHeaders[index])) head += `${rawHeaders[index]}: ${rawHeaders[index + 1]}\r\n`
  }
  const connection = idle.pop() ?? new Upstream()
  connection.ask(`${head}\r\n${body}`, (lines, answer) => {
    const headers = []
    for (let index = 1; index < lines.length; index += 1) {
      const colon = lines[index].indexOf(':')
      const name = lines[index].slice(0, colon)
      if (!/^(?:connection|keep-alive)$/i.test(name)) headers.push(name, lines[index].slice(colon + 2))
    }
    response.writeHead(Number(lines[0].slice(9, 12)), headers)
    response.end(answer, 'latin1')
  })
}

const known = new Map()

/** The claims of a token; its signature is checked once. */
function claimsOf(authorization = '') {
  const found = known.get(authorization)
  if (found !== undefined) return found
  const [head, payload, signature] = authorization.slice('Bearer '.length).split('.')
  const mac = createHmac('sha256', secret).update(`${head}.${payload}`).digest()
  if (!timingSafeEqual(mac, Buffer.from(signature, 'base64url'))) throw new Error('a bad token')
  const claims = JSON.parse(Buffer.from(payload, 'base64url'))
  known.set(authorization, claims)
  return claims
}

const store = gate === 'session' && new Redis({ port: redis, host: '127.0.0.1', enableAutoPipelining: true })
if (gate === 'session')
  store.defineCommand('judge', {
    numberOfKeys: 2,
    lua: `if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end return redis.call('INCR', KEYS[2])`
  })

function serve(request, body, response) {
  if (gate === 'none') return pass(request, body, response)
  const { sid, sub } = claimsOf(request.headers.authorization)
  if (gate === 'token') return pass(request, body, response)
  store.judge(`session:${sid}`, `bare:${sub}`).then((count) => {
    if (count > 0) pass(request, body, response)
    else response.writeHead(401).end()
  })
}

createServer((request, response) => {
  if (request.headers['content-length'] === undefined) return serve(request, '', response)
  let body = ''
  request.setEncoding('latin1')
  request.on('data', (text) => {
    body += text
  })
  request.on('end', () => serve(request, body, response))
}).listen({ port, host: '127.0.0.1', backlog: 4096 })
