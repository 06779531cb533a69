// The service behind the gateway: it says what it was asked, and by whom.
import { createServer } from 'node:http'

createServer((request, response) => {
  response.setHeader('content-type', 'text/plain')
  response.end(
    `hello from ${request.method} ${request.url}, asked for by ${request.headers['x-forwarded-for']}\n`
  )
}).listen(Number(process.env.PORT), process.env.HOST)
