import { createServer } from 'node:http'

createServer((_request, response) => response.end('the shop\n')).listen(
  Number(process.env.PORT),
  process.env.HOST
)
