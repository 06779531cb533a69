import { createServer } from 'node:https'
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
