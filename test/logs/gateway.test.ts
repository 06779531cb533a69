import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ask } from '../support/client.ts'
import { readDocument } from '../support/console.ts'
import { eventually, startOwnProcess } from '../support/own-process.ts'
import { loggingConfig, parsed, quick, requestMany, startLogging, statusUpstream } from '../support/sinks.ts'
import { exchange } from '../support/upstream.ts'

const file = (name: string, more: object = {}) => ({
  name,
  kind: 'file',
  path: `${name}.log`,
  ...quick,
  ...more
})

t.test('a sink gets the line that standard output gets, also where that gets none', async (t) => {
  const { directory, log, request, drained, resink } = await startLogging(t, [file('a')])
  await request(20)
  t.match(await drained('a'), { kind: 'file', state: 'up', sent: 20, dropped: 0, lastError: null })
  const lines = parsed(readFileSync(join(directory, 'a.log'), 'utf8'))
  t.same(
    lines,
    log().filter(({ msg }) => msg === 'request')
  )
  t.match(lines[0], {
    time: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
    level: 'info',
    msg: 'request',
    requestId: /^r\d+$/,
    client: '127.0.0.1',
    method: 'GET',
    host: '127.0.0.1',
    path: '/open/x',
    status: 200,
    duration: Number,
    route: 'open',
    service: 'up',
    node: String,
    upstream: Number,
    verdict: 'allowed'
  })
  await resink([])
  await request(1, 'later')
  t.ok(log().some(({ requestId }) => requestId === 'later0'))
})

t.test('the guide tells of every field that a line can have', async (t) => {
  const told = [
    ...readDocument('docs/guides/logs.md').matchAll(/^\| (`[^|]+) \| [^|]+ \| [^|]+ \|$/gm)
  ].flatMap(([, cell]) => [...cell!.matchAll(/`(\w+)`/g)].map(([, field]) => field!))
  const source = readDocument('plugins/access-log.ts')
  const written = [...source.matchAll(/[,{]"(\w+)":/g)].map(([, field]) => field!)
  t.ok(written.length > 18)
  for (const field of written) t.ok(told.includes(field), field)
})

t.test('with "access" false only sinks get lines', async (t) => {
  const { directory, log, request, drained } = await startLogging(t, [file('a')], { log: { access: false } })
  await request(3)
  t.equal((await drained()).sent, 3)
  t.equal(parsed(readFileSync(join(directory, 'a.log'), 'utf8')).length, 3)
  t.same(
    log().filter(({ msg }) => msg === 'request'),
    []
  )
})

t.test('no token, cookie or query gets into any sink', async (t) => {
  const sinks = [file('a', { messages: true }), file('b', { sample: 0, messages: true })]
  const { origin, directory, log, drained } = await startLogging(t, sinks, { log: { level: 'trace' } })
  const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2VjcmV0LXNpZ25hdHVyZQ'
  const apiKey = `tlk1_ABCDEFGHIJ_${'k'.repeat(43)}0000aa`
  const refresh = `tlr1.kid.${'h'.repeat(12)}.${'r'.repeat(22)}.1.${'m'.repeat(43)}`
  const planted = [
    jwt,
    'c2VjcmV0',
    apiKey,
    'kkkkkkkk',
    refresh,
    'mmmmmmmm',
    'cookie-secret',
    'query-secret',
    'basic-secret'
  ]
  for (const secret of [jwt, apiKey, refresh]) {
    const paths = [
      `/open/x?access_token=${secret}`,
      `/open/${secret}?query-secret`,
      `/open/500?t=${secret}`,
      `/nowhere/${secret}`,
      `/nowhere/a%2f${secret}?query-secret=${secret}`,
      `/nowhere/%00${secret}`,
      `/nowhere/${secret.replace('e', '%65').replace('t', '%74')}`
    ]
    for (const path of paths) {
      const headers = {
        authorization: `Bearer ${secret}`,
        cookie: `session=cookie-secret; t=${secret}`,
        'x-api-key': secret,
        'proxy-authorization': 'Basic basic-secret'
      }
      await ask('GET', origin + path, { headers })
      const url = `${origin}/get-only/${secret}?query-secret`
      const refused = await ask('POST', url, { headers, json: { token: secret } })
      t.equal(refused.body.instance, '/get-only/[token]')
      t.notOk(refused.text.includes(secret), 'nor into the answer')
      const named = await ask('GET', origin + path, { headers: { 'x-request-id': secret } })
      t.notMatch(named.headers.get('x-request-id'), secret)
    }
    // No request at all, and one in two ways.
    await exchange(origin, `GET /${secret} HTTP/9.9\r\nhost: a\r\n\r\n`)
    const ways = 'content-length: 3\r\ntransfer-encoding: chunked'
    await exchange(
      origin,
      `POST /${secret}?${secret} HTTP/1.1\r\nhost: a\r\nauthorization: ${secret}\r\n${ways}\r\n\r\n`
    )
    await exchange(
      origin,
      `GET http://user:${secret}@a/${secret} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`
    )
  }
  await drained('a')
  await drained('b')
  for (const name of ['a', 'b']) {
    const text = readFileSync(join(directory, `${name}.log`), 'utf8')
    t.ok(
      parsed(text).some(({ path }) => path === '/nowhere/[token]'),
      'refused requests are there'
    )
    for (const secret of planted) t.notOk(text.includes(secret), `${secret} in ${name}`)
  }
  const whole = JSON.stringify(log())
  for (const secret of planted) t.notOk(whole.includes(secret), `${secret} in the log`)
})

t.test('a sample leaves out lines of good answers, and no refusal and no 5xx', async (t) => {
  const { origin, directory, request, drained, metric } = await startLogging(t, [file('a', { sample: 0 })])
  await request(10)
  await ask('GET', `${origin}/open/404`)
  await ask('GET', `${origin}/open/503`)
  await ask('GET', `${origin}/nowhere`)
  await eventually('two lines are sent', async () => (await drained()).sent === 2)
  t.equal((await drained()).sampled, 11)
  t.equal(await metric('tollkeeper_log_lines_total{sink="a",outcome="sampled"}'), 11)
  t.same(
    parsed(readFileSync(join(directory, 'a.log'), 'utf8')).map(({ status }) => status),
    [503, 404]
  )
})

t.test("a sink that asks for them gets the gateway's own messages, in JSON", async (t) => {
  const { directory, drained, request, resink } = await startLogging(t, [
    file('a', { messages: true }),
    file('b')
  ])
  await request(1)
  await resink([file('a', { messages: true }), file('b'), file('c')])
  await eventually('the reload is told', async () => (await drained('a')).sent >= 2)
  await drained('b')
  const messages = (name: string) =>
    parsed(readFileSync(join(directory, `${name}.log`), 'utf8')).map(({ msg }) => msg)
  t.ok(messages('a').includes('config reloaded'))
  t.same(messages('b'), ['request'])
})

t.test(
  'a sink lives across reloads with all it has, and goes with the config that no longer has it',
  async (t) => {
    const missing = file('a', { path: 'in-the-way', flush: '100ms' })
    const { directory, request, shown, drained, resink, log } = await startLogging(t, [missing], {
      files: {}
    })
    await request(5)
    await drained()
    await resink([missing, file('b')])
    t.match(await shown('a'), { state: 'up', sent: 5 })
    await request(5, 'more')
    t.match(await drained('a'), { sent: 10 })
    t.match(await drained('b'), { sent: 5 })
    // Other settings: another sink, and the figures go on.
    await resink([{ ...missing, path: 'elsewhere' }])
    await request(2, 'last')
    t.match(await drained('a'), { sent: 12 })
    t.equal(parsed(readFileSync(join(directory, 'elsewhere'), 'utf8')).length, 2)
    t.notOk(log().some(({ level }) => level === 'error'))
  }
)

t.test('what waits at the end is handed over before the gateway leaves', async (t) => {
  const slow = { batch: { linger: '1m' } }
  const { directory, request, stop, resink } = await startLogging(t, [file('a', slow), file('b', slow)])
  await request(30)
  await resink([file('b', slow)])
  await eventually('the sink that went has written', () => {
    try {
      return parsed(readFileSync(join(directory, 'a.log'), 'utf8')).length === 30
    } catch {
      return false
    }
  })
  await stop()
  t.equal(parsed(readFileSync(join(directory, 'b.log'), 'utf8')).length, 30)
})

t.test('a process that gets SIGTERM writes its last lines before it ends', async (t) => {
  const path = join(t.testdir(), 'a.log')
  const { url } = await statusUpstream(t)
  const gateway = await startOwnProcess(t, loggingConfig(url, [file('a', { path, batch: { linger: '1m' } })]))
  await requestMany(gateway.origin, 100)
  t.equal(await gateway.stop(), 0)
  t.equal(parsed(readFileSync(path, 'utf8')).length, 100)
})
