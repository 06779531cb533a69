// The application behind the gateway. It knows nothing of tokens: who is asking comes in a header that only the gateway can set.
import { createServer } from 'node:http'

createServer((request, response) => {
  response.setHeader('content-type', 'text/plain')
  if (request.url === '/public/ping') return response.end('pong\n')
  if (request.url === '/user/welcome') return response.end(`Welcome ! ${request.headers['x-user-id']}\n`)
  response.statusCode = 404
  response.end('not found\n')
}).listen(Number(process.env.PORT), process.env.HOST)
