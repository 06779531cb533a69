import { createServer } from 'node:http'

createServer((request, response) => {
  response.setHeader('content-type', 'text/plain')
  response.end(`shop ${request.url}\n`)
}).listen(Number(process.env.PORT), process.env.HOST)
