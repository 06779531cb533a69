import { createServer } from 'node:https'
import { connect, createServer as createTCPServer } from 'node:net'
import { createServer as createRawServer } from 'node:tls'
import t, { type Test } from 'tap'
import { authority, certificate, privateKey } from '../support/certificates.ts'
import { startGateway } from '../support/gateway.ts'
import { configFor, listen } from '../support/upstream.ts'

const httpsUpstream = (t: Test) =>
  listen(
    t,
    createServer({ key: privateKey, cert: certificate }, (request, response) => request.pipe(response))
  )

const ask = async (t: Test, url: string, tls: object, files = {}) => {
  const { origin } = await startGateway(t, configFor([url], { service: { tls } }), { files })
  const response = await fetch(`${origin}/`, { method: 'POST', body: 'secret' })
  return `${response.status} ${await response.text()}`
}

t.test('an https node has to prove who it is', async (t) => {
  const port = await httpsUpstream(t)
  const files = { 'ca.pem': authority }
  const refused = await ask(t, `https://localhost:${port}`, {})
  t.match(refused, /^502 .*UPSTREAM_CONNECT/, 'an unknown authority is refused')
  t.notMatch(refused, /certificate|self|CERT/i)
  t.equal(await ask(t, `https://localhost:${port}`, { ca: 'ca.pem' }, files), '200 secret')
  t.match(
    await ask(t, `https://127.0.0.1:${port}`, { ca: 'ca.pem' }, files),
    /^502 /,
    'another name is refused'
  )
  t.equal(
    await ask(t, `https://127.0.0.1:${port}`, { ca: 'ca.pem', servername: 'up.example' }, files),
    '200 secret'
  )
  t.equal(await ask(t, `https://127.0.0.1:${port}`, { verify: false }), '200 secret')
})

t.test('what an https node sends behind an answer meets nobody who waits for the connection', async (t) => {
  const answer = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const server = createRawServer({ key: privateKey, cert: certificate }, (socket) => {
    socket.on('error', () => {})
    socket.on('data', (request) => {
      const path = request.toString('latin1').split(' ')[1]!
      socket.write(answer(path))
      // In a record of its own.
      if (path === '/1') socket.write(answer('poison'))
    })
  })
  const port = await listen(t, server)
  // Both records arrive together, as they do over a network that is slower than the node.
  const gathering = createTCPServer((socket) => {
    const inner = connect(port, '127.0.0.1')
    socket.on('data', (bytes) => inner.write(bytes)).on('close', () => inner.destroy())
    let gathered: Buffer[] = []
    let timer: NodeJS.Timeout | undefined
    inner.on('error', () => {})
    inner.on('data', (bytes) => {
      gathered.push(bytes)
      clearTimeout(timer)
      timer = setTimeout(() => {
        socket.write(Buffer.concat(gathered))
        gathered = []
      }, 100)
    })
  })
  const node = `https://127.0.0.1:${await listen(t, gathering)}`
  const service = { tls: { verify: false }, connections: { max: 1, queue: 10 } }
  const { origin } = await startGateway(t, configFor([node], { service }))
  for (let count = 0; count < 3; count += 1) {
    const asked = ['/1', '/2', '/3'].map(async (path) => (await fetch(`${origin}${path}`)).text())
    t.same(await Promise.all(asked), ['/1', '/2', '/3'])
  }
})
