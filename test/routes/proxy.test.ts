import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { keepsSpelling } from '../support/transports.ts'
import { configFor, exchange, httpUpstream } from '../support/upstream.ts'

t.test('hands a request to the service and its answer back', async (t) => {
  const up = await httpUpstream(t, (request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      response.writeHead(201, 'Made', ['X-Twice', '1', 'X-Twice', '2', 'Content-Type', 'text/plain'])
      response.end(`${request.method} ${request.url} ${body}`)
    })
  })
  const { origin } = await startGateway(t, configFor([up.url]))
  const response = await fetch(`${origin}/a/b?c=d`, { method: 'POST', body: 'hello' })
  t.equal(response.status, 201)
  t.equal(response.statusText, 'Made')
  t.equal(await response.text(), 'POST /a/b?c=d hello')
  const raw = await exchange(origin, 'GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n')
  t.match(raw, /^HTTP\/1\.1 201 Made\r\n/)
  t.match(raw, keepsSpelling ? /\r\nX-Twice: 1\r\nX-Twice: 2\r\n/ : /\r\nx-twice: 1\r\nx-twice: 2\r\n/)
})
