// The demo's public service: a ping, and a clock that never stops (Server-Sent Events).
import { createServer } from 'node:http'

const server = createServer((request, response) => {
  const [path] = request.url.split('?')
  if (path === '/ping') {
    response.setHeader('content-type', 'text/plain')
    response.end('pong\n')
    return
  }
  if (path === '/clock') {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    const tick = () => response.write(`event: tick\ndata: ${new Date().toISOString()}\n\n`)
    const timer = setInterval(tick, 1000)
    response.on('close', () => clearInterval(timer))
    tick()
    return
  }
  response.writeHead(404, { 'content-type': 'text/plain' })
  response.end('not found\n')
})

server.listen(Number(process.env.PORT), process.env.HOST)
