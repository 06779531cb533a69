import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, httpUpstream } from '../support/upstream.ts'

t.test('what a trusted proxy says is believed only where it makes sense', async (t) => {
  const up = await httpUpstream(t, (_request, response) => response.end('ok'))
  const { origin } = await startGateway(t, {
    ...configFor([up.url]),
    guard: { trustedProxies: ['127.0.0.1', '10.0.0.0/8'] }
  })
  const seen = async (header: string) => {
    await exchange(origin, `GET / HTTP/1.1\r\nHost: a\r\n${header}\r\nConnection: close\r\n\r\n`)
    return up.requests.at(-1)!.headers
  }
  for (const [hops, client] of [
    ['192.0.2.1:5678, 10.0.0.1:80', '192.0.2.1'],
    ['[2001:db8::1]:1234', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['192.0.2.1:x', '127.0.0.1']
  ] as const) {
    t.equal((await seen(`X-Forwarded-For: ${hops}`))['x-real-ip'], client, hops)
  }
  for (const [said, scheme] of [
    ['HTTPS', 'https'],
    ['"', 'http'],
    ['javascript', 'http']
  ] as const) {
    const headers = await seen(`X-Forwarded-Proto: ${said}`)
    t.equal(headers['x-forwarded-proto'], scheme)
    t.equal(headers.forwarded, `for=127.0.0.1;host=a;proto=${scheme}`)
  }
  t.equal((await seen('X-Forwarded-Host: b:8443'))['x-forwarded-host'], 'b:8443')
  t.equal((await seen('X-Forwarded-Host: b/c"'))['x-forwarded-host'], 'a')
})
