import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { ask } from '../support/client.ts'
import { refusalOf } from '../support/config.ts'
import { startGateway } from '../support/gateway.ts'
import { closedPort, httpUpstream, listen, RawClient, rawUpstream } from '../support/upstream.ts'

/** A gateway whose route is mirrored to `shadow`; the service itself answers with what it got. */
async function start(t: Test, shadow: string, { mirror = {}, route = {}, ...config }: Parts = {}) {
  const main = await httpUpstream(t, (request, response) => {
    let size = 0
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
    })
    request.on('end', () => response.end(`main ${size}`))
  })
  const started = await startGateway(t, {
    services: { orders: { nodes: [main.url] }, shadow: { nodes: [shadow], retry: { attempts: 0 } } },
    routes: [
      {
        id: 'orders',
        path: '/orders/*',
        service: 'orders',
        auth: 'none',
        rewrite: { stripPrefix: '/orders' },
        mirror: { service: 'shadow', ...mirror },
        ...route
      }
    ],
    ...config
  })
  const outcomes = async (): Promise<Record<string, number>> => {
    const { text } = await ask('GET', `${started.admin}/metrics`)
    const found = text.matchAll(
      /^tollkeeper_mirrored_requests_total\{route="orders",outcome="([^"]+)"\} (\d+)/gm
    )
    return Object.fromEntries([...found].map(([, outcome, count]) => [outcome!, Number(count)]))
  }
  return { ...started, main, outcomes }
}

interface Parts {
  readonly mirror?: object
  readonly route?: object
  readonly [key: string]: unknown
}

/** Waits for something that has to become true, and says what is when it does not. */
async function until<Value>(read: () => Value | Promise<Value>, isSo: (value: Value) => boolean) {
  const deadline = Date.now() + 15_000
  for (;;) {
    const value = await read()
    if (isSo(value)) return value
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(value)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A shadow that notes what it gets, bodies included. */
async function noting(t: Test) {
  const bodies: string[] = []
  const upstream = await httpUpstream(t, (request, response) => {
    let body = ''
    request.setEncoding('latin1').on('data', (text) => {
      body += text
    })
    request.on('end', () => {
      bodies.push(body)
      response.writeHead(500).end('shadow')
    })
  })
  return { ...upstream, bodies }
}

t.test('a copy goes to the shadow with path, query and marker, and its answer to nobody', async (t) => {
  const shadow = await noting(t)
  const { origin, main, outcomes } = await start(t, shadow.url)
  const answer = await ask('GET', `${origin}/orders/7?x=1`, { headers: { 'x-mirrored': 'me', 'x-own': '1' } })
  t.match(answer, { status: 200, text: 'main 0' })
  await until(outcomes, (counts) => counts['5xx'] === 1)
  t.match(shadow.requests, [{ method: 'GET', url: '/7?x=1' }])
  t.match(shadow.requests[0]?.headers, { 'x-mirrored': 'orders', 'x-own': '1' })
  t.equal(main.requests[0]?.headers['x-mirrored'], undefined, 'no client passes for a mirror')
  t.equal(shadow.requests[0]?.headers['x-request-id'], main.requests[0]?.headers['x-request-id'])
})

t.test('only methods that are listed are copied, GET and HEAD unless the config says more', async (t) => {
  const shadow = await noting(t)
  const few = await start(t, shadow.url)
  t.equal((await ask('POST', `${few.origin}/orders/1`, { form: 'a=1' })).text, 'main 3')
  t.equal((await ask('DELETE', `${few.origin}/orders/1`)).status, 200)
  t.equal((await ask('HEAD', `${few.origin}/orders/1`)).status, 200)
  await until(few.outcomes, (counts) => counts['5xx'] === 1)
  const more = await start(t, shadow.url, { mirror: { methods: ['POST'] } })
  t.equal((await ask('POST', `${more.origin}/orders/1`, { form: 'a=1' })).text, 'main 3')
  t.equal((await ask('GET', `${more.origin}/orders/1`)).status, 200)
  await until(more.outcomes, (counts) => counts['5xx'] === 1)
  t.same(
    shadow.requests.map(({ method }) => method),
    ['HEAD', 'POST']
  )
  t.same(shadow.bodies, ['', 'a=1'])
})

t.test('a body is copied up to its bound, whichever way it comes; a larger one is counted', async (t) => {
  const shadow = await noting(t)
  const mirror = { methods: ['POST'], maxBody: '16KiB' }
  const { origin, outcomes } = await start(t, shadow.url, { mirror })
  const exact = 'x'.repeat(16 * 1024)
  t.equal((await ask('POST', `${origin}/orders/1`, { form: exact })).text, 'main 16384')
  t.equal((await ask('POST', `${origin}/orders/1`, { form: `${exact}y` })).text, 'main 16385')
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
  const head = 'POST /orders/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
  const small = new RawClient(origin).write(head + chunk('one ') + chunk('two') + chunk(''))
  t.match(await small.until(/main \d+/), /main 7/)
  const large = new RawClient(origin).write(head + chunk(exact) + chunk(exact) + chunk(''))
  t.match(await large.until(/main \d+/), /main 32768/)
  t.match(await until(outcomes, (counts) => counts['5xx'] === 2 && counts.body_size === 2), {})
  t.same(shadow.bodies.toSorted(), ['one two', exact])
  small.close()
  large.close()
})

t.test('no request is refused, held up or cut by a shadow that hangs, resets or is down', async (t) => {
  const hanging = await rawUpstream(t, () => {})
  const resetting = await rawUpstream(t, ({ socket }) => socket.resetAndDestroy())
  // An answer without an end: of what never stops, no more than a little is read.
  const endless = createServer((_request, response) => {
    const pour = () => {
      while (response.write(Buffer.alloc(64 * 1024))) if (response.destroyed) return
    }
    response.on('drain', pour)
    response.on('error', () => {})
    pour()
  })
  const shadows = {
    hanging: hanging.url,
    resetting: resetting.url,
    down: `http://127.0.0.1:${await closedPort()}`,
    endless: `http://127.0.0.1:${await listen(t, endless)}`
  }
  const total = 1000
  for (const [name, url] of Object.entries(shadows)) {
    const mirror = { methods: ['GET', 'POST'], concurrency: 8, timeout: '200ms' }
    const { origin, main, outcomes, log } = await start(t, url, { mirror })
    let next = 0
    const failed: unknown[] = []
    const client = async () => {
      while (next < total) {
        const isPost = next++ % 10 === 0
        const asked = isPost ? { form: 'abc' } : {}
        const answer = await ask(isPost ? 'POST' : 'GET', `${origin}/orders/1`, asked).catch(String)
        const expected = isPost ? 'main 3' : 'main 0'
        if (typeof answer === 'string' || answer.status !== 200 || answer.text !== expected)
          failed.push(answer)
      }
    }
    await Promise.all(Array.from({ length: 10 }, client))
    t.same(failed, [], `${name}: every request is answered by the service itself`)
    t.equal(main.requests.length, total)
    const counts = await until(outcomes, (found) => sumOf(found) === total)
    t.comment(`${name}: ${JSON.stringify(counts)}`)
    if (name === 'hanging')
      t.ok((counts.busy ?? 0) > 0 && (counts.timeout ?? 0) > 0, 'no more than a few wait')
    t.notOk(
      log().some(({ level }) => level === 'error' || level === 'warn'),
      'and nothing is complained of'
    )
  }
})

const sumOf = (counts: Record<string, number>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0)

t.test('a shadow that reads slowly holds no body up', async (t) => {
  const stuck = await rawUpstream(t, ({ socket }) => socket.pause())
  const mirror = { methods: ['POST'], maxBody: '4MiB', timeout: '500ms' }
  const { origin, outcomes } = await start(t, stuck.url, { mirror })
  const body = 'x'.repeat(3 * 1024 * 1024)
  t.equal((await ask('POST', `${origin}/orders/1`, { form: body })).text, `main ${body.length}`)
  t.match(await until(outcomes, (counts) => sumOf(counts) === 1), { timeout: 1 })
})

t.test('what is refused is not mirrored, and a share is a share', async (t) => {
  const shadow = await noting(t)
  const route = { limit: { qps: 0.01, slack: 0, by: 'address' } }
  const { origin, outcomes } = await start(t, shadow.url, { route })
  t.equal((await ask('GET', `${origin}/orders/1`)).status, 200)
  t.equal((await ask('GET', `${origin}/orders/1`)).status, 429)
  await until(outcomes, (counts) => counts['5xx'] === 1)
  t.equal(shadow.requests.length, 1)
  const some = await start(t, shadow.url, { mirror: { percent: 30, concurrency: 1000 } })
  await Promise.all(Array.from({ length: 300 }, () => ask('GET', `${some.origin}/orders/1`)))
  const counts = await until(some.outcomes, (found) => sumOf(found) > 0)
  t.ok(sumOf(counts) > 40 && sumOf(counts) < 150, `${sumOf(counts)} of 300 at 30 %`)
})

t.test('a shadow sees who asks, and no credential that the service does not', async (t) => {
  const shadow = await noting(t)
  const { origin, main, outcomes } = await start(t, shadow.url)
  const headers = { authorization: 'Bearer secret', 'x-user-id': 'forged' }
  t.equal((await ask('GET', `${origin}/orders/1`, { headers })).status, 200)
  await until(outcomes, (counts) => counts['5xx'] === 1)
  const { 'x-mirrored': _, host: __, connection: ___, ...seen } = shadow.requests[0]!.headers
  const { host: ____, connection: _____, ...sent } = main.requests[0]!.headers
  t.same(seen, sent)
  t.equal(seen.authorization, undefined)
})

t.test('explain tells of the mirror', async (t) => {
  const { admin, directory } = await start(t, 'http://127.0.0.1:9', { mirror: { percent: 5 } })
  const token = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  const json = { method: 'GET', url: '/orders/1' }
  t.match((await ask('POST', `${admin}/admin/explain`, { token, json })).body, {
    upstream: { service: 'orders', mirror: { service: 'shadow', percent: 5 } }
  })
})

t.test('a mirror to a service that answers on the route, or to none, is a mistake', async (t) => {
  const refused = async (mirror: object) => {
    const directory = t.testdir({
      'gateway.config.json': JSON.stringify({
        services: { orders: {} },
        routes: [{ id: 'a', path: '/*', service: 'orders', mirror }]
      })
    })
    return (await refusalOf(loadGatewayConfig(join(directory, 'gateway.config.json')))).mistakes
  }
  t.match(await refused({ service: 'orders' }), [
    { pointer: '/routes/0/mirror/service', sentence: /would get every mirrored request twice/ }
  ])
  t.match(await refused({ service: 'nowhere' }), [
    { pointer: '/routes/0/mirror/service', sentence: /there is no service "nowhere"/ }
  ])
})
