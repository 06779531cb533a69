import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { configFor, exchange, RawClient, scripted } from '../support/upstream.ts'

type Test = Parameters<typeof scripted>[0]

const date = 'Date: Thu, 01 Jan 2026 00:00:00 GMT'
const get = (path = '/', fields = '', version = '1.1') =>
  `GET ${path} HTTP/${version}\r\nHost: a\r\nX-Request-Id: asked\r\n${fields}\r\n`

async function gatewayTo(t: Test, answer: string, config: object = {}, files: Record<string, string> = {}) {
  const up = await scripted(t, answer)
  const { origin } = await startGateway(t, { ...configFor([up.url]), ...config }, { files })
  return origin
}

/** One answer on a connection that is kept. */
async function kept(origin: string, request: string, end: RegExp): Promise<string> {
  const client = new RawClient(origin).write(request)
  try {
    return await client.until(end)
  } finally {
    client.close()
  }
}

t.test(
  'an answer that is all there goes out to the byte as it came, with what the gateway has to say',
  async (t) => {
    const fields = `server: x\r\n${date}\r\nX-b:  caf\u00e9 \r\ncontent-length: 3\r\nX-B: 2\r\nETag: "a:b"`
    const origin = await gatewayTo(
      t,
      `HTTP/1.1 201 Made it\r\n${fields}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n\u00e9\r\n`
    )
    const refusal = await kept(origin, get('/a/../../b'), /\r\n\r\n\{/)
    const [, timeout] = /\r\nKeep-Alive: timeout=(\d+)\r\n/.exec(refusal) ?? []
    t.ok(Number(timeout) > 0, 'Node itself says how long a connection is kept')
    const answer = await kept(origin, get(), /\r\n\r\n.../s)
    t.equal(
      answer,
      `HTTP/1.1 201 Made it\r\n${fields.replace('  caf\u00e9 ', ' caf\u00e9')}\r\nx-request-id: asked\r\n` +
        `Connection: keep-alive\r\nKeep-Alive: timeout=${timeout}\r\n\r\n\u00e9\r\n`
    )
  }
)

t.test('answers on one connection follow one another, also to requests that came at once', async (t) => {
  const origin = await gatewayTo(t, `HTTP/1.1 200 OK\r\n${date}\r\nContent-Length: 2\r\n\r\nok`)
  const client = new RawClient(origin).write(get() + get() + get())
  t.teardown(() => client.close())
  const all = await client.until(/(?:\r\n\r\nok.*){3}/s)
  t.match(all.split('HTTP/1.1 200 OK\r\n'), ['', /\r\n\r\nok$/, /\r\n\r\nok$/, /\r\n\r\nok$/])
  client.received = ''
  client.write(get('/', 'Connection: close\r\n'))
  const last = await client.ended()
  t.match(last, /\r\nConnection: close\r\n(?:.*\r\n)*\r\nok$/)
  t.notMatch(last, /keep-alive/i)
})

t.test("what the gateway says stands in place of the service's", async (t) => {
  const origin = await gatewayTo(
    t,
    `HTTP/1.1 200 OK\r\n${date}\r\nX-Request-Id: other\r\nContent-Length: 2\r\n\r\nok`
  )
  t.same((await kept(origin, get(), /ok$/)).match(/x-request-id: .*/gi), ['x-request-id: asked'])
})

const unusual: readonly [what: string, answer: string, told: RegExp, request?: string][] = [
  [
    'a date is added where there is none',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    /\r\nDate: \w{3}, .* GMT\r\n(?:.*\r\n)*\r\nok$/
  ],
  [
    'what came in chunks goes out in chunks',
    `HTTP/1.1 200 OK\r\n${date}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
    /\r\nTransfer-Encoding: chunked\r\n(?:.*\r\n)*\r\n2\r\nok\r\n0\r\n\r\n$/
  ],
  [
    'what Connection names stays here',
    `HTTP/1.1 200 OK\r\n${date}\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok`,
    /^(?:(?!X-Hop).)*\r\n\r\nok$/is
  ],
  [
    'what came with the length of an empty body has none where there can be no body',
    `HTTP/1.1 204 No Content\r\n${date}\r\nContent-Length: 0\r\n\r\n`,
    /^HTTP\/1\.1 204 No Content\r\n(?:(?!content-length|transfer-encoding).)*\r\n\r\n$/is
  ],
  [
    'two cookies are two headers',
    `HTTP/1.1 200 OK\r\n${date}\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok`,
    /\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n(?:.*\r\n)*\r\nok$/
  ],
  [
    'HEAD has the length of what it does not get',
    `HTTP/1.1 200 OK\r\n${date}\r\nContent-Length: 20\r\n\r\n`,
    /\r\nContent-Length: 20\r\n(?:.*\r\n)*Connection: keep-alive\r\n(?:.*\r\n)*\r\n$/,
    `HEAD / HTTP/1.1\r\nHost: a\r\n\r\n`
  ],
  [
    'of nothing, too, HEAD has the length',
    `HTTP/1.1 200 OK\r\n${date}\r\nContent-Length: 0\r\n\r\n`,
    /\r\nContent-Length: 0\r\n(?:.*\r\n)*Connection: keep-alive\r\n(?:.*\r\n)*\r\n$/,
    `HEAD / HTTP/1.1\r\nHost: a\r\n\r\n`
  ],
  [
    'a client of HTTP/1.0 that asks for it keeps its connection',
    `HTTP/1.1 200 OK\r\n${date}\r\nContent-Length: 2\r\n\r\nok`,
    /\r\nConnection: keep-alive\r\n(?:.*\r\n)*\r\nok$/,
    get('/', 'Connection: keep-alive\r\n', '1.0')
  ]
]

for (const [what, answer, told, request = get()] of unusual) {
  t.test(what, async (t) => {
    t.match(await kept(await gatewayTo(t, answer), request, told), told)
  })
}

t.test('a client of HTTP/1.0 hears that its connection ends', async (t) => {
  const origin = await gatewayTo(t, `HTTP/1.1 200 OK\r\n${date}\r\nContent-Length: 2\r\n\r\nok`)
  t.match(await exchange(origin, get('/', '', '1.0')), /\r\nConnection: close\r\n\r\nok$/)
})

t.test('of Vary there may be two: who asks from where is for the gateway to say', async (t) => {
  const answer = `HTTP/1.1 200 OK\r\n${date}\r\nVary: Accept\r\nContent-Length: 2\r\n\r\nok`
  const origin = await gatewayTo(t, answer, { cors: { origins: ['https://a.example'] } })
  const told = await kept(origin, get('/', 'Origin: https://a.example\r\n'), /ok$/)
  t.same(told.match(/vary: .*/gi), ['Vary: Accept', 'vary: Origin'])
})

/** A plugin that sets these headers on each answer. */
const setting = (headers: Record<string, unknown>): string => `
export default {
  key: 'setting',
  setup(app) {
    app.addHook('onRequest', async (_request, reply) => { reply.headers(${JSON.stringify(headers)}) })
  }
}`

const own: readonly [what: string, headers: Record<string, unknown>, told: RegExp][] = [
  ['a list is several headers', { 'x-list': ['a', 'b'] }, /\r\nx-list: a\r\nx-list: b\r\n/],
  ['a number is a text', { 'x-number': 5 }, /\r\nx-number: 5\r\n/],
  ['its date is the date', { date: 'today' }, /^(?:(?!Thu).)*\r\ndate: today\r\n(?:(?!Thu).)*$/s],
  ['how a connection goes on is not its to say', { connection: 'close' }, /^(?:(?!close).)*$/s],
  ['nor how a body is written', { 'transfer-encoding': 'chunked' }, /^(?:(?!chunked).)*$/s]
]

for (const [what, headers, told] of own) {
  t.test(`of a plugin's headers: ${what}`, async (t) => {
    const answer = `HTTP/1.1 200 OK\r\n${date}\r\nContent-Length: 2\r\n\r\nok`
    const plugins = [{ use: './plugin.mjs', after: 'guard' }]
    const origin = await gatewayTo(t, answer, { plugins }, { 'plugin.mjs': setting(headers) })
    t.match(await kept(origin, get(), /\r\n\r\nok$/), told)
  })
}

const impossible: readonly [what: string, headers: Record<string, string>][] = [
  ['a value with a line of its own', { 'x-a': 'a\r\nx-planted: b' }],
  ['a name with a line of its own', { 'x-a: b\r\nx-planted': 'c' }],
  ['a zero', { 'x-a': 'a\0b' }],
  ['a character that is more than a byte', { 'x-a': '\u2028' }]
]

for (const [what, headers] of impossible) {
  t.test(`${what} is not written for a plugin`, async (t) => {
    const answer = `HTTP/1.1 200 OK\r\n${date}\r\nContent-Length: 2\r\n\r\nok`
    const plugins = [{ use: './plugin.mjs', after: 'guard' }]
    const origin = await gatewayTo(t, answer, { plugins }, { 'plugin.mjs': setting(headers) })
    t.notMatch(await exchange(origin, get()), /x-planted|x-a|\r\n\r\nok/)
  })
}
