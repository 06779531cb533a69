// A clock over Server-Sent Events, and a WebSocket that sends back what it is told, on nothing but node:http.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'

const server = createServer((request, response) => {
  if (request.url !== '/clock') {
    response.writeHead(426, { upgrade: 'websocket' }).end()
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  let tick = 0
  const timer = setInterval(() => response.write(`data: tick ${++tick}\n\n`), 100)
  response.on('close', () => clearInterval(timer))
})

server.on('upgrade', (request, socket) => {
  const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
  const accept = createHash('sha1').update(key).digest('base64')
  const head = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']
  socket.write(`${head.join('\r\n')}\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  // Enough of RFC 6455 for an example: each chunk is one short, masked text frame, or a close.
  socket.on('data', (frame) => {
    if ((frame[0] & 0x0f) === 8) return socket.end(Buffer.from([0x88, 0]))
    const length = frame[1] & 0x7f
    const mask = frame.subarray(2, 6)
    const text = frame.subarray(6, 6 + length).map((byte, index) => byte ^ mask[index % 4])
    socket.write(Buffer.concat([Buffer.from([0x81, length]), text]))
  })
  socket.on('error', () => socket.destroy())
})

server.listen(Number(process.env.PORT), process.env.HOST)
