import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import { freePorts } from '../support/ports.ts'
import { runToll } from '../support/running.ts'

async function count(t: Test, port: number) {
  const config = { listen: { admin: `127.0.0.1:${port}` }, services: {}, routes: [] }
  const running = runToll(t, ['session', 'count'], { 'gateway.config.json': JSON.stringify(config) })
  const code = await running.ended
  return { code, said: running.output.err }
}

t.test('where no gateway ever ran the commands say that none answers', async (t) => {
  const [port = 0] = await freePorts(1)
  t.match(await count(t, port), { code: 1, said: /^toll: no gateway answers on \S+; [^\n]+\n$/ })
})

t.test('another server on the port of the admin listener is told apart from a gateway', async (t) => {
  const server = createServer((_request, response) => response.end('<html>hello</html>'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  t.match(await count(t, port), { code: 1, said: /^toll: what answers on \S+ is not [^\n]+\n$/ })
})

t.test('a gateway whose admin token cannot be read is told apart from none', async (t) => {
  const { admin } = await startGateway(t, { services: {}, routes: [] })
  t.match(await count(t, Number(new URL(admin).port)), { code: 1, said: /admin-token cannot be read/ })
})

t.test('the admin API takes requests that name JSON and have no body', async (t) => {
  const token = 'a token of twenty-four letters'.replaceAll(' ', '-')
  const { admin } = await startGateway(t, { admin: { token }, services: {}, routes: [] })
  const response = await fetch(`${admin}/admin/config/reload`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  })
  t.match([response.status, await response.json()], [200, { outcome: 'unchanged' }])
})
