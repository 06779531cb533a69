// Hours of ordinary use in minutes: steady requests, reloads, sign-ins, WebSockets. Run with `npm run soak -- --minutes 10 --rate 200`.
import { once } from 'node:events'
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep, setInterval as ticks } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { WebSocket, WebSocketServer } from 'ws'
import { ask } from '../build/test/support/client.js'
import { startLoad } from '../build/test/support/load/load.js'
import { percentile } from '../build/test/support/load/sample.js'
import { runToll, serving } from '../build/test/support/running.js'
import { usersFile } from '../build/test/support/users.js'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, rate: { type: 'string', default: '200' } }
})
const [minutes, rate] = [Number(values.minutes), Number(values.rate)]
if (!(Number.isInteger(minutes) && minutes >= 2 && minutes <= 1440 && rate >= 1 && rate <= 10_000)) {
  console.error('Say --minutes 2 to 1440 and --rate 1 to 10000, requests a second.')
  process.exit(2)
}
/** What the least heap of a minute may rise by in a minute, over the second half: MiB. */
const mostRise = 0.25
/** What the least descriptors of a minute may be above those at half time: with connections of a busy moment, fewer than one a reload. */
const mostDescriptors = 30

const adminToken = 'the-admin-token-of-a-soak'
const ends = []
const t = { teardown: (end) => ends.unshift(end) }
let code = 1
try {
  code = await soak()
} finally {
  for (const end of ends) await end()
}
process.exit(code)

async function soak() {
  const load = await startLoad(t)
  const sockets = await echo()
  const config = configs(load.upstream, sockets)
  const users = await usersFile({ ada: { password: 'a password', scopes: ['orders'] } })
  const files = { 'gateway.config.json': config(0), 'users.json': users }
  const running = runToll(t, ['start'], files)
  const gateway = { ...(await serving(running)), pid: running.child.pid }
  /** What was wrong, in order. */
  const failures = []
  const counts = { requests: 0, reloads: 0, sessions: 0, sockets: 0 }
  const attempt = async (what, act) => {
    try {
      await act()
      counts[what] += 1
    } catch (error) {
      failures.push(`${what}: ${error.message}`)
    }
  }
  const until = performance.now() + minutes * 60_000
  const every = async (ms, act) => {
    for await (const _ of ticks(ms)) {
      if (performance.now() > until) return
      await act()
    }
  }
  const swap = (number) => reload(gateway, running.directory, config(number))
  const work = Promise.all([
    every(5000, () => attempt('reloads', () => swap(counts.reloads + 1))),
    // What is known of tokens is bounded, by more than these minutes can fill.
    every(4000, () => attempt('sessions', () => session(gateway))),
    // One lives longer than a config does.
    every(1000, () => void attempt('sockets', () => socket(gateway, 7000)))
  ])
  console.log(
    `${rate} requests/s for ${minutes} minutes; a changed config every 5 s, a session every 4 s, a WebSocket every second\n`
  )
  console.log(
    'minute   requests   failed   p99 ms   reloads   sessions   sockets   least heap MiB   most RSS MiB   least descriptors'
  )
  const rows = []
  for (let minute = 1; minute <= minutes; minute += 1) {
    load.begin({ origins: [gateway.origin], streams: [{ path: '/open/x', rate }], forbidden: [] })
    const row = await watch(gateway, performance.now() + 60_000)
    const samples = (await load.end()).filter(({ wasSent }) => wasSent)
    for (const { status } of samples) if (status !== 200) failures.push(`a request was answered ${status}`)
    counts.requests += samples.length
    rows.push({ ...row, ...counts, failed: failures.length, p99: percentile(samples, 99) })
    print(minute, rows.at(-1))
  }
  await work
  await sleep(8000)
  return verdict(rows, failures, running.output)
}

/** Another config for each number: routes come and go, limits, nodes, log sinks and headers change. */
function configs(upstream, sockets) {
  const two = upstream.replace('127.0.0.1', 'localhost')
  return (number) =>
    JSON.stringify({
      listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0' },
      admin: { token: adminToken },
      store: { driver: 'embedded', path: 'store' },
      auth: { access: '1m', grace: '1s', users: { driver: 'file', path: 'users.json' } },
      log: {
        access: false,
        sinks: [
          { name: 'lines', kind: 'file', path: 'lines.log', maxSize: '1MiB', keep: 1, sample: number % 2 }
        ]
      },
      services: {
        up: { nodes: number % 3 === 0 ? [upstream] : [upstream, { url: two, weight: (number % 3) + 1 }] },
        sockets: { nodes: [sockets] },
        [`service-${number}`]: { nodes: [upstream] }
      },
      routes: [
        {
          id: 'open',
          path: '/open/*',
          service: 'up',
          auth: 'none',
          limit: { qps: 10_000 + number, slack: 1000, by: 'address' }
        },
        { id: 'closed', path: '/closed/*', service: 'up', auth: { scopes: ['orders'] } },
        { id: 'sockets', path: '/sockets', service: 'sockets', auth: 'none' },
        ...Array.from({ length: 20 }, (_, index) => ({
          id: `route-${number}-${index}`,
          path: `/route-${number}-${index}/*`,
          service: `service-${number}`,
          auth: 'none',
          limit: { qps: 1000, by: 'address' }
        }))
      ]
    })
}

async function reload({ origin, admin }, directory, text) {
  const path = join(directory, 'gateway.config.json')
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
  const answer = await ask('POST', `${admin}/admin/config/reload`, { token: adminToken })
  // Whoever watches the file may have been first.
  if (answer.status !== 200) throw new Error(answer.text)
  const [id] = /route-\d+-0/.exec(text)
  const { status } = await ask('GET', `${origin}/${id}/x`)
  if (status !== 200) throw new Error(`a new route was answered ${status}`)
}

async function session({ origin }) {
  const get = async (path, status, token) => {
    const answer = await ask('GET', origin + path, { token })
    if (answer.status !== status) throw new Error(`${path} was answered ${answer.status}, not ${status}`)
  }
  const post = async (path, { token, ...json }) => {
    const answer = await ask('POST', origin + path, { token, json })
    if (answer.status >= 300) throw new Error(`${path} was answered ${answer.status}`)
    return answer.body
  }
  const first = await post('/auth/login', { username: 'ada', password: 'a password' })
  await get('/closed/x', 200, first.access_token)
  const second = await post('/auth/refresh', { refresh_token: first.refresh_token })
  await get('/closed/x', 200, second.access_token)
  await post('/auth/logout', { token: second.access_token })
  await get('/closed/x', 401, second.access_token)
}

async function socket({ origin }, ms) {
  const client = new WebSocket(`${origin.replace('http', 'ws')}/sockets`)
  const ended = new Promise((resolve, reject) => {
    client.once('error', reject)
    client.once('close', resolve)
  })
  await Promise.race([once(client, 'open'), ended])
  for (const end = performance.now() + ms; performance.now() < end; await sleep(500)) {
    client.send('hello')
    const [text] = await Promise.race([once(client, 'message'), ended.then((code) => [`closed ${code}`])])
    if (String(text) !== 'hello') throw new Error(String(text))
  }
  client.close(1000)
  const code = await ended
  if (code !== 1000) throw new Error(`closed with ${code}`)
}

async function echo() {
  const server = createServer()
  new WebSocketServer({ server }).on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  )
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${server.address().port}`
}

/** The least that was seen is what stays; the rest is under way. */
async function watch({ admin, pid }, until) {
  const row = { heap: Number.POSITIVE_INFINITY, memory: 0, descriptors: Number.POSITIVE_INFINITY }
  while (performance.now() < until) {
    const { text } = await ask('GET', `${admin}/metrics`)
    const figure = (name) => Number(new RegExp(`^tollkeeper_${name} (\\S+)`, 'm').exec(text)[1])
    row.heap = Math.min(row.heap, figure('nodejs_heap_size_used_bytes') / 2 ** 20)
    row.memory = Math.max(
      row.memory,
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`))[1]) / 1024
    )
    row.descriptors = Math.min(row.descriptors, readdirSync(`/proc/${pid}/fd`).length)
    await sleep(500)
  }
  return row
}

function print(minute, { requests, failed, p99, reloads, sessions, sockets, heap, memory, descriptors }) {
  const widths = [6, 10, 8, 8, 9, 10, 9, 16, 14, 18]
  const columns = [minute, requests, failed, p99.toFixed(1), reloads, sessions, sockets]
  columns.push(heap.toFixed(1), memory.toFixed(0), descriptors)
  console.log(columns.map((column, index) => String(column).padStart(widths[index])).join(' '))
}

function verdict(rows, failures, { out, err }) {
  const half = rows.slice(Math.floor(rows.length / 2))
  const rise = slope(half.map(({ heap }) => heap))
  const above = half.at(-1).descriptors - half[0].descriptors
  const wrong = []
  const should = (isSo, sentence) => isSo || wrong.push(sentence)
  should(
    failures.length === 0,
    `${failures.length} failed; the first of them: ${failures.slice(0, 5).join('; ')}`
  )
  should(rise <= mostRise, `the least heap rises by ${rise.toFixed(2)} MiB a minute, ${mostRise} are allowed`)
  should(above <= mostDescriptors, `${above} descriptors more than at half time`)
  should(rows.at(-1).reloads >= minutes * 10, 'there were fewer reloads than meant')
  const told = (out + err).split('\n').filter((line) => /"level":"(error|fatal)"|Warning:/.test(line))
  should(told.length === 0, `the gateway complains: ${told[0]}`)
  console.log(
    `\nsecond half: the least heap changes by ${rise.toFixed(2)} MiB a minute, the least descriptors by ${above}`
  )
  for (const sentence of wrong) console.log(`WRONG: ${sentence}`)
  if (wrong.length === 0) console.log('As it should be.')
  return wrong.length === 0 ? 0 : 1
}

/** Of the straight line that is nearest to these, one each minute. */
function slope(values) {
  const middle = (values.length - 1) / 2
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  let [over, under] = [0, 0]
  for (const [index, value] of values.entries()) {
    over += (index - middle) * (value - mean)
    under += (index - middle) ** 2
  }
  return under === 0 ? 0 : over / under
}
