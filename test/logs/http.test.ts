import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { refusalOf } from '../../services/logs/http/http.ts'
import { authority, certificate, privateKey } from '../support/certificates.ts'
import { eventually } from '../support/own-process.ts'
import { parsed, quick, startLogging } from '../support/sinks.ts'
import { httpUpstream, listen } from '../support/upstream.ts'

interface Post {
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** A collector that answers as `answer` says and keeps what it got. */
function collector(
  answer: (post: Post, response: ServerResponse) => void = (_post, response) => response.end()
) {
  const posts: Post[] = []
  const listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const post = { headers: request.headers, body: Buffer.concat(chunks) }
      posts.push(post)
      answer(post, response)
    })
  }
  return { posts, listener }
}

const http = (url: string, more: object = {}) => ({ name: 'h', kind: 'http', url, ...quick, ...more })

async function collected(t: Test, answer?: Parameters<typeof collector>[0], more: object = {}) {
  const { posts, listener } = collector(answer)
  const { url } = await httpUpstream(t, listener)
  const started = await startLogging(t, [http(`${url}/in?key=k`, more)])
  return { ...started, posts, lines: () => posts.flatMap(({ body }) => parsed(body.toString())) }
}

t.test('batches are posted as lines, with the headers of the config', async (t) => {
  const headers = { authorization: 'Splunk header-secret', 'x-tenant': 'a' }
  const { request, drained, posts, lines, log } = await collected(t, undefined, { headers })
  await request(50)
  t.match(await drained(), { kind: 'http', state: 'up', sent: 50 })
  t.equal(new Set(lines().map(({ requestId }) => requestId)).size, 50)
  for (const post of posts) {
    t.match(post.headers, {
      ...headers,
      'content-type': 'application/x-ndjson',
      'content-length': String(post.body.length)
    })
    t.ok(post.body.toString().endsWith('}\n'))
  }
  t.notMatch(JSON.stringify(log()), 'header-secret')
})

t.test('or as an array, compressed', async (t) => {
  const { request, drained, posts } = await collected(t, undefined, { format: 'json', gzip: true })
  await request(20)
  await drained()
  const lines = posts.flatMap(({ body }) => JSON.parse(gunzipSync(body).toString()) as object[])
  t.equal(lines.length, 20)
  t.match(posts[0]!.headers, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
})

t.test('429 and 503 are waited out as long as they say', async (t) => {
  let refusals = 1
  const times: number[] = []
  const { request, shown, drained, lines, posts } = await collected(t, (_post, response) => {
    times.push(performance.now())
    if (refusals === 0) response.end()
    else {
      refusals -= 1
      response.writeHead(429, { 'retry-after': '1' }).end('slow down')
    }
  })
  await request(5)
  await eventually('it is down', async () => (await shown()).state === 'down')
  t.match(await shown(), { lastError: { why: 'it answered 429' } })
  t.match(await drained(), { sent: 5, dropped: 0, failed: 0 })
  t.ok(times[1]! - times[0]! >= 990, `${times[1]! - times[0]!} ms`)
  t.equal(lines().length, 5 + parsed(posts[0]!.body.toString()).length)
})

t.test('statuses say what becomes of the lines', async (t) => {
  for (const status of [200, 201, 202, 204]) t.equal(refusalOf(status, undefined), undefined)
  for (const status of [301, 302, 401, 403, 404, 408, 429, 500, 502, 503]) {
    t.match(refusalOf(status, '2'), { retry: 'again', after: 2000, message: `it answered ${status}` })
  }
  for (const status of [400, 415, 422]) t.match(refusalOf(status, undefined), { retry: 'never' })
  t.match(refusalOf(413, undefined), { retry: 'too large' })
  const date = refusalOf(503, new Date(Date.now() + 10_000).toUTCString())!.after!
  t.ok(date > 8000 && date <= 10_000)
  for (const text of ['soon', '-1', undefined]) t.equal(refusalOf(503, text)?.after, undefined)
})

t.test('a batch that is too large is sent in parts', async (t) => {
  const { request, drained, lines } = await collected(
    t,
    ({ body }, response) => response.writeHead(body.length > 2000 ? 413 : 200).end(),
    { batch: { linger: '200ms' } }
  )
  await request(40)
  t.match(await drained(), { sent: 40, failed: 0 })
  t.ok(lines().length >= 40)
})

t.test('a collector that says nothing, resets or answers without end holds nobody up', async (t) => {
  let turn = 0
  const { request, drained, stop } = await collected(
    t,
    (_post, response) => {
      turn += 1
      if (turn === 2) response.socket!.resetAndDestroy()
      else if (turn === 3) {
        const more = (): boolean => response.write('x'.repeat(16_384))
        response.on('drain', more)
        more()
      } else if (turn > 3) response.end()
    },
    { timeout: '300ms' }
  )
  await request(10)
  await eventually('all are sent', async () => (await drained()).sent === 10)
  t.ok(turn >= 3)
  await stop()
})

t.test('https: the authority of the config, its own certificate, and no other', async (t) => {
  const { posts, listener } = collector()
  const secure = {
    cert: certificate,
    key: privateKey,
    ca: authority,
    requestCert: true,
    rejectUnauthorized: true
  }
  const server = createSecureServer(secure, listener)
  const port = await listen(t, server)
  const url = `https://localhost:${port}/in`
  const files = { 'ca.pem': authority, 'cert.pem': certificate, 'key.pem': privateKey }
  const { request, shown, drained, resink } = await startLogging(t, [http(url, { flush: '100ms' })], {
    files
  })
  await request(2)
  await eventually('it is down', async () => (await shown()).state === 'down')
  t.match(await shown(), { lastError: { why: 'TLS did not come about' } })
  t.equal(posts.length, 0)
  await resink([http(url, { tls: { ca: 'ca.pem', cert: 'cert.pem', key: 'key.pem' } })])
  await request(3, 'more')
  await eventually('all are sent', async () => (await drained()).sent === 3)
  await resink([http(url, { tls: { ca: 'missing.pem' }, flush: '100ms' })])
  await request(1, 'last')
  await eventually('it is down', async () => (await shown()).state === 'down')
  t.match(await shown(), { lastError: { why: 'the file tls.ca cannot be read' } })
})
