import { createServer } from 'node:http'

createServer((request, response) => {
  response.setHeader('content-type', 'text/plain')
  response.end(`orders of ${request.headers['x-user-id']}\n`)
}).listen(Number(process.env.PORT), process.env.HOST)
