import t, { type Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, httpUpstream, RawClient } from '../support/upstream.ts'

const order = {
  type: 'object',
  required: ['items'],
  additionalProperties: false,
  properties: {
    note: { type: 'string', maxLength: 5 },
    'a/b~c': { type: 'integer' },
    any: {},
    items: {
      type: 'array',
      items: { type: 'object', properties: { price: { type: 'number', minimum: 0, maximum: 100 } } }
    }
  }
}

async function start(t: Test, { route = {}, service = {} }: { route?: object; service?: object } = {}) {
  const bodies: string[] = []
  const upstream = await httpUpstream(t, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      bodies.push(Buffer.concat(chunks).toString('latin1'))
      response.end('done')
    })
  })
  const config = configFor([upstream.url], {
    route: { maxBody: '1MiB', validate: { body: order }, ...route },
    service
  })
  return { ...(await startGateway(t, config)), bodies, upstream }
}

const post = (body: string, headers = 'Content-Type: application/json\r\n', method = 'POST'): string =>
  `${method} /orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}Content-Length: ${Buffer.byteLength(body, 'latin1')}\r\n\r\n${body}`

const statusOf = (answer: string): number => Number(answer.slice(9, 12))

interface Problem {
  readonly code: string
  readonly errors: readonly unknown[]
}

const problemOf = (answer: string): Problem =>
  JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as Problem

for (const transport of ['direct', 'http-proxy']) {
  t.test(`over ${transport}`, async (t) => {
    const { origin, bodies, upstream } = await start(t, { service: { transport } })
    const good = '{ "items" : [ {"price": 1.50} ],\n "any": 12345678901234567890 }'

    await t.test('a body that does not fit is a 400 with a pointer, and no service sees it', async (t) => {
      const answer = await exchange(origin, post('{"items":[{"price":-1}]}'))
      t.equal(statusOf(answer), 400)
      t.match(answer, /application\/problem\+json/)
      const { code, errors } = problemOf(answer)
      t.equal(code, 'VALIDATION_FAILED')
      t.strictSame(errors, [{ in: 'body', pointer: '/items/0/price', message: 'must be at least 0' }])
      t.equal(upstream.requests.length, 0)
    })

    await t.test('a body that fits goes on byte for byte, with its length', async (t) => {
      const answer = await exchange(origin, post(good))
      t.equal(statusOf(answer), 200)
      t.equal(bodies.pop(), good)
      t.equal(upstream.requests.at(-1)!.headers['content-length'], String(good.length))
    })

    await t.test('so does one in chunks, and one that waits for "100 Continue"', async (t) => {
      const head = 'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n'
      const chunks = `${good.slice(0, 5).length.toString(16)}\r\n${good.slice(0, 5)}\r\n${good.slice(5).length.toString(16)}\r\n${good.slice(5)}\r\n0\r\n\r\n`
      t.equal(statusOf(await exchange(origin, `${head}Transfer-Encoding: chunked\r\n\r\n${chunks}`)), 200)
      t.equal(bodies.pop(), good)
      const client = new RawClient(origin)
      client.write(`${head}Expect: 100-continue\r\nContent-Length: ${good.length}\r\n\r\n`)
      await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\n/)
      client.write(good)
      t.match(await client.ended(), /HTTP\/1\.1 200/)
      t.equal(bodies.pop(), good)
      client.close()
    })

    await t.test('a long one too, that comes in pieces', async (t) => {
      const long = `{"items":[${Array.from({ length: 40_000 }, () => '{"price":7}').join(',')}]}`
      t.equal(statusOf(await exchange(origin, post(long))), 200)
      t.equal(bodies.pop(), long)
    })

    await t.test(
      'two on one connection are judged one by one, and the first refusal leaves the second alone',
      async (t) => {
        const bad = '{"items":1}'
        const one = (body: string, last = '') =>
          `POST / HTTP/1.1\r\nHost: x\r\n${last}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
        const answer = await exchange(
          origin,
          one(bad) + one(good) + one(bad) + one(good, 'Connection: close\r\n')
        )
        t.strictSame(
          [...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status),
          ['400', '200', '400', '200']
        )
        t.strictSame(bodies.splice(0), [good, good])
      }
    )

    await t.test('a client that leaves within its body is forgotten', async (t) => {
      const before = upstream.requests.length
      const client = new RawClient(origin)
      client.write(
        'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"items"'
      )
      await new Promise((resolve) => setTimeout(resolve, 50))
      client.close()
      t.equal(statusOf(await exchange(origin, post(good))), 200)
      t.equal(upstream.requests.length, before + 1)
    })

    await t.test('a body larger than the route takes is a 413 before it is judged', async (t) => {
      const before = upstream.requests.length
      const large = `{"items":[],"note":"${'x'.repeat(1024 * 1024)}"}`
      t.equal(statusOf(await exchange(origin, post(large))), 413)
      const chunked = `${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`
      const head =
        'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n'
      t.equal(statusOf(await exchange(origin, head + chunked)), 413)
      t.equal(upstream.requests.length, before)
    })
  })
}

t.test('what two readers might read in two ways is refused', async (t) => {
  const { origin, upstream } = await start(t)
  const refused = [
    '{"items":[],"items":[{"price":-1}]}',
    '{"items":[],"\\u0069tems":[{"price":-1}]}',
    '{"items":[],"__proto__":{"x":1}}',
    '{"items":[]} x',
    '{"items":[]}{"items":[]}',
    '{"items":[],}',
    '{"items":[] /* none */}',
    '// none\n{"items":[]}',
    "{'items':[]}",
    '\xef\xbb\xbf{"items":[]}',
    '{"items":[],"any":"\xff"}',
    '{"items":[],"any":"\\ud800"}',
    '{"items":[],"any":1e400}',
    `{"items":[],"any":${'9'.repeat(400)}}`,
    '{"items":[],"any":NaN}',
    `{"items":[],"any":${'['.repeat(100)}${']'.repeat(100)}}`,
    '['.repeat(100_000),
    `${'['.repeat(100_000)}${']'.repeat(100_000)}`,
    ' ',
    '\0{"items":[]}'
  ]
  for (const body of refused) {
    const answer = await exchange(origin, post(body))
    t.equal(statusOf(answer), 400, body.slice(0, 60))
    t.match(problemOf(answer).errors, [{ in: 'body', pointer: '' }])
  }
  t.equal(upstream.requests.length, 0)
})

t.test('pointers are escaped, names are told, values never', async (t) => {
  const { origin } = await start(t)
  const ask = async (body: string) => problemOf(await exchange(origin, post(body))).errors
  t.strictSame(await ask('{"items":[],"a/b~c":"secret-value"}'), [
    { in: 'body', pointer: '/a~1b~0c', message: 'must be of type integer' }
  ])
  t.strictSame(await ask('{}'), [{ in: 'body', pointer: '/items', message: 'is missing' }])
  t.strictSame(await ask('{"items":[],"extra":1}'), [
    { in: 'body', pointer: '/extra', message: 'is not taken here' }
  ])
  t.strictSame(await ask(`{"items":[],"${'k'.repeat(5000)}":1}`), [
    { in: 'body', pointer: '', message: 'is not taken here' }
  ])
  const answer = await exchange(origin, post('{"items":[],"note":"secret-value"}'))
  t.strictSame(problemOf(answer).errors, [
    { in: 'body', pointer: '/note', message: 'must have at most 5 characters' }
  ])
  t.notMatch(answer, /secret-value/)
})

t.test('a member that every object inherits is missing all the same', async (t) => {
  const body = { type: 'object', required: ['toString'] }
  const { origin } = await start(t, { route: { validate: { body } } })
  t.equal(statusOf(await exchange(origin, post('{}'))), 400)
  t.equal(statusOf(await exchange(origin, post('{"toString":1}'))), 200)
})

t.test('a body is JSON, in UTF-8, and not packed', async (t) => {
  const { origin, upstream } = await start(t)
  const good = '{"items":[]}'
  const type = (value: string) => `Content-Type: ${value}\r\n`
  const taken = ['application/json', 'Application/JSON; charset=UTF-8', 'application/vnd.order+json']
  for (const value of taken) t.equal(statusOf(await exchange(origin, post(good, type(value)))), 200, value)
  const before = upstream.requests.length
  const refused = [
    '',
    type('text/plain'),
    type('application/json; charset=utf-16'),
    type('application/json, text/plain'),
    type('application/jsonx'),
    `${type('application/json')}Content-Encoding: gzip\r\n`,
    `${type('application/json')}Content-Encoding: identity\r\n`
  ]
  for (const headers of refused) t.equal(statusOf(await exchange(origin, post(good, headers))), 415, headers)
  // Whoever says it twice is refused by the guard already.
  const twice = [type('application/json') + type('text/plain'), type('text/plain') + type('application/json')]
  for (const headers of twice) t.equal(statusOf(await exchange(origin, post(good, headers))), 400, headers)
  t.equal(upstream.requests.length, before)
})

t.test('a request without a body needs one only where its method has one', async (t) => {
  const { origin, upstream } = await start(t)
  const bare = (method: string) => `${method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
  for (const method of ['GET', 'HEAD', 'DELETE']) t.equal(statusOf(await exchange(origin, bare(method))), 200)
  for (const method of ['POST', 'PUT', 'PATCH'])
    t.equal(statusOf(await exchange(origin, post('', undefined, method))), method === '' ? 0 : 400)
  t.equal(upstream.requests.length, 3)
  t.equal(
    statusOf(await exchange(origin, post('{"items":1}', undefined, 'GET'))),
    400,
    'a body is judged whatever the method'
  )
  const h2c = post(
    '{"items":1}',
    'Content-Type: application/json\r\nConnection: upgrade\r\nUpgrade: h2c\r\n'
  ).replace('Connection: close\r\n', '')
  const client = new RawClient(origin).write(h2c)
  t.match(await client.until(/^HTTP\/1\.1 400/), /VALIDATION_FAILED/)
  client.close()
})

t.test('a body that stops coming is a 408', async (t) => {
  const { origin, upstream } = await start(t, { route: { timeouts: { idle: '200ms' } } })
  const client = new RawClient(origin)
  client.write(
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"items"'
  )
  t.match(await client.until(/\r\n\r\n\{/), /^HTTP\/1\.1 408/)
  client.close()
  t.equal(upstream.requests.length, 0)
})

t.test('a fallback, a retry and a mirror get the same body', async (t) => {
  const good = '{ "items": [] }'
  const seen: string[] = []
  const upstream = await httpUpstream(t, (request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString()
    })
    request.on('end', () => {
      seen.push(`${request.headers['x-mirrored'] === undefined ? 'own' : 'copy'} ${body}`)
      response.end()
    })
  })
  const dead = 'http://127.0.0.1:1'
  for (const service of [
    { nodes: [dead, upstream.url] },
    { nodes: [dead], fallback: { service: 'other' } }
  ]) {
    const { origin, stop } = await startGateway(t, {
      store: { driver: 'embedded', path: 'store' },
      services: { up: service, other: { nodes: [upstream.url] }, shadow: { nodes: [upstream.url] } },
      routes: [
        {
          id: 'all',
          path: '/*',
          service: 'up',
          auth: 'none',
          maxBody: '1MiB',
          validate: { body: order },
          mirror: { service: 'shadow', percent: 100, methods: ['POST', 'PUT'] }
        }
      ]
    })
    t.equal(statusOf(await exchange(origin, post(good, undefined, 'PUT'))), 200)
    for (let turn = 0; turn < 200 && seen.length < 2; turn += 1)
      await new Promise((resolve) => setTimeout(resolve, 10))
    t.strictSame(seen.splice(0).sort(), [`copy ${good}`, `own ${good}`])
    await stop()
  }
})
