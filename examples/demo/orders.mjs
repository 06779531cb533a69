// The demo's protected service. It has no idea of tokens: the gateway tells it who is asking, in x-user-id.
import { createServer } from 'node:http'

const port = Number(process.env.PORT)
const orders = [
  { id: 1, item: 'lamp oil', quantity: 2 },
  { id: 2, item: 'rope', quantity: 50 }
]

const server = createServer((request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(`${JSON.stringify(body)}\n`)
  }
  const user = request.headers['x-user-id']
  const [path] = request.url.split('?')
  const id = /^\/(\d+)$/.exec(path)?.[1]

  if (path === '/') answer(200, { user, node: port, orders })
  else if (path === '/report') answer(200, { user, node: port, orders: orders.length })
  else if (id !== undefined) {
    const order = orders.find((order) => order.id === Number(id))
    if (order === undefined) answer(404, { error: `there is no order ${id}` })
    else answer(200, { user, node: port, order })
  } else answer(404, { error: 'not found' })
})

server.listen(port, process.env.HOST)
