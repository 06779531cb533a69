import { createServer } from 'node:http'

createServer((request, response) => {
  response.setHeader('content-type', 'text/plain')
  response.end(`stock ${request.url} (node ${process.env.PORT})\n`)
}).listen(Number(process.env.PORT), process.env.HOST)
