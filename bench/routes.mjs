// What many routes cost: start, matching, reloads under load, memory. Run with `npm run bench:routes`.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { gatewayCore, otherCore } from '../build/bench/measure.js'
import { upstreamServer } from '../build/bench/nginx.js'
import { Pinned } from '../build/bench/process.js'
import { obtain } from '../build/bench/tools.js'
import { makeWorkspace, put } from '../build/bench/workspace.js'

const toll = fileURLToPath(new URL('../build/bin/toll.js', import.meta.url))
const counts = (process.argv[2] ?? '10,1000,10000,20000').split(',').map(Number)
const rounds = Number(process.argv[3] ?? 3)
const reloads = Number(process.argv[4] ?? 8)
const say = (line) => process.stderr.write(`${line}\n`)
for (const tool of ['wrk', 'taskset', 'nginx']) {
  if (obtain(tool, say) === undefined)
    throw new Error(`The benchmark needs ${tool}; install it (apt-get install ${tool}).`)
}
const directory = mkdtempSync(join(tmpdir(), 'tollkeeper-routes-'))
const workspace = await makeWorkspace(directory)
const { ports } = workspace

/** Ten kinds of routes in turn: open, limited, guarded, by host, with parameters, by method, rewritten. */
function routeOf(index, version) {
  const route = {
    id: `route-${index}`,
    path: `/service-${index}/*`,
    service: `service-${index % 10}`,
    auth: 'none'
  }
  const kinds = [
    {},
    { limit: { qps: 1_000_000, by: 'address' } },
    { auth: 'required' },
    { hosts: [`host-${index % 200}.example.com`] },
    { path: `/service-${index}/:id/items` },
    { methods: ['GET', 'POST'] },
    { rewrite: { stripPrefix: `/service-${index}` } },
    { hosts: ['*.wild.example.com'] },
    { auth: { scopes: ['orders:read'] } },
    { timeouts: { response: '10s' } }
  ]
  const changed = version > 0 && index === 5 ? { maxBody: `${version}MiB` } : {}
  return { ...route, ...kinds[index % kinds.length], ...changed }
}

function write(count, version) {
  const services = {}
  for (let index = 0; index < 10; index += 1)
    services[`service-${index}`] = { nodes: [`http://127.0.0.1:${ports.upstream}`] }
  const config = {
    listen: { public: `127.0.0.1:${ports.gateway}`, admin: `127.0.0.1:${ports.admin}` },
    log: { access: false },
    store: { driver: 'embedded', path: `store-${count}` },
    auth: { users: { path: 'users.json' } },
    services,
    routes: Array.from({ length: count }, (_, index) => routeOf(index, version))
  }
  put(workspace, 'users.json', '{ "users": {} }')
  const next = put(workspace, 'next.json', JSON.stringify(config, undefined, 2))
  renameSync(next, join(directory, `routes-${count}.json`))
}

/** Tells every half second in its log how long the event loop stood still at the longest. */
const preload = `import { monitorEventLoopDelay } from 'node:perf_hooks'
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
setInterval(() => { process.stderr.write('stall ' + delay.max / 1e6 + '\\n'); delay.reset() }, 500).unref()`

const logOf = (count) => join(directory, `gateway-${count}.log`)

async function start(count) {
  write(count, 0)
  const began = performance.now()
  const gateway = new Pinned(
    {
      command: process.execPath,
      args: [
        '--import',
        `data:text/javascript,${encodeURIComponent(preload)}`,
        ...[toll, 'start', '--json', '--config', join(directory, `routes-${count}.json`)]
      ]
    },
    gatewayCore,
    logOf(count)
  )
  await gateway.listening(ports.gateway, 60_000)
  return { gateway, took: performance.now() - began }
}

/** One request for each open route, in an order that no cache likes. */
function script(count) {
  const requests = []
  for (let at = 0; at < count; at += 1) {
    const index = (at * 7919) % count
    const kind = index % 10
    if ([1, 2, 8].includes(kind)) continue
    const host = kind === 3 ? `host-${index % 200}.example.com` : kind === 7 ? 'a.wild.example.com' : 'x'
    const path = kind === 4 ? `/service-${index}/7/items` : `/service-${index}/x`
    requests.push(`wrk.format("GET", "${path}", {["Host"] = "${host}"})`)
  }
  const blocks = requests.map((request, index) => `  requests[${index + 1}] = ${request}`)
  // One function of Lua takes 65,536 constants.
  const parts = []
  for (let from = 0; from < blocks.length; from += 5000)
    parts.push(`(function()\n${blocks.slice(from, from + 5000).join('\n')}\nend)()`)
  return put(
    workspace,
    `routes-${count}.lua`,
    `local requests = {}\nfunction init()\n${parts.join(';\n')}\nend\nlocal at = 0\nfunction request()\n  at = at % ${requests.length} + 1\n  return requests[at]\nend\n`
  )
}

const units = { us: 0.001, ms: 1, s: 1000, m: 60_000 }
const milliseconds = (text = '') => {
  const [, value, unit] = /^([\d.]+)([a-z]+)$/.exec(text) ?? []
  return Number(value) * (units[unit] ?? Number.NaN)
}

function load(count, seconds, connections) {
  const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '--timeout', '10s']
  const url = `http://127.0.0.1:${ports.gateway}`
  return new Promise((resolve, reject) => {
    const child = spawn('taskset', ['-c', `${otherCore}`, 'wrk', ...options, '-s', script(count), url])
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
    })
    child.once('error', reject)
    child.once('close', () => {
      const refused = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? '0'
      const broken = /Socket errors: (.*)/.exec(text)?.[1]
      if (refused !== '0' || broken !== undefined) say(`${refused} requests were refused; ${broken ?? ''}`)
      resolve({
        requests: Number(/(\d+) requests in/.exec(text)?.[1]),
        rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
        p50: milliseconds(/50%\s+(\S+)/.exec(text)?.[1]),
        p99: milliseconds(/99%\s+(\S+)/.exec(text)?.[1]),
        longest: milliseconds(/Latency\s+\S+\s+\S+\s+(\S+)/.exec(text)?.[1])
      })
    })
  })
}

/** The longest stall since `from` (a length of the log), and how many reloads there were. */
function heard(count, from) {
  const text = readFileSync(logOf(count), 'utf8').slice(from)
  const stalls = [...text.matchAll(/^stall ([\d.]+)/gm)].map(([, value]) => Number(value))
  return { stall: Math.max(...stalls), reloads: text.split('"msg":"config reloaded"').length - 1 }
}
const logLength = (count) => readFileSync(logOf(count), 'utf8').length

const samples = new Map(counts.map((count) => [count, []]))
const reloaded = []
const upstream = new Pinned(upstreamServer(workspace), otherCore, join(directory, 'upstream.out'))
let gateway
try {
  await upstream.listening(ports.upstream)
  for (let round = 1; round <= rounds; round += 1) {
    for (const count of counts) {
      const started = await start(count)
      gateway = started.gateway
      await sleep(1500)
      const idle = gateway.memory()
      await load(count, 2, 64)
      const before = gateway.cpu()
      const seen = await load(count, 4, 64)
      const cpu = (gateway.cpu() - before) / 1000 / seen.requests
      samples.get(count).push({ ...seen, cpu, took: started.took, idle })
      say(
        `round ${round}/${rounds} ${count} routes: ${Math.round(seen.rate)}/s, ${cpu.toFixed(1)} us, listens after ${Math.round(started.took)} ms, load ${loadavg()[0].toFixed(1)}`
      )
      if (round === rounds && count >= 1000) reloaded.push(await reloadUnderLoad(count))
      await gateway.stop()
    }
  }
} finally {
  await gateway?.stop()
  await upstream.stop()
  rmSync(directory, { recursive: true, force: true })
}

async function reloadUnderLoad(count) {
  let from = logLength(count)
  const before = await load(count, reloads, 8)
  await sleep(600)
  const calm = heard(count, from)
  from = logLength(count)
  const memory = gateway.memory()
  const loading = load(count, reloads, 8)
  for (let version = 1; version <= reloads; version += 1) {
    write(count, version)
    await sleep(950)
  }
  const during = await loading
  await sleep(600)
  const busy = heard(count, from)
  for (let version = reloads + 1; version <= 3 * reloads; version += 1) {
    write(count, version)
    await sleep(950)
  }
  await sleep(1500)
  return {
    routes: count,
    reloads: busy.reloads,
    'p99 before': `${before.p99} ms`,
    'p99 during': `${during.p99} ms`,
    'max before': `${before.longest} ms`,
    'max during': `${during.longest} ms`,
    'stall before': `${calm.stall.toFixed(1)} ms`,
    'stall during': `${busy.stall.toFixed(1)} ms`,
    'RSS before': `${Math.round(memory)} MiB`,
    [`RSS after ${3 * reloads}`]: `${Math.round(gateway.memory())} MiB`
  }
}

const median = (values) => [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)]
const first = median(samples.get(counts[0]).map(({ rate }) => rate))
console.log(`Node ${process.version}, load ${loadavg()[0].toFixed(1)}`)
console.table(
  counts.map((routes) => {
    const all = samples.get(routes)
    const rate = median(all.map((one) => one.rate))
    return {
      routes,
      'listens after': `${Math.round(median(all.map((one) => one.took)))} ms`,
      'requests/s': Math.round(rate),
      [`of ${counts[0]} routes`]: `${((rate / first) * 100).toFixed(0)} %`,
      'CPU a request': `${median(all.map((one) => one.cpu)).toFixed(1)} us`,
      p99: `${median(all.map((one) => one.p99))} ms`,
      'RSS idle': `${Math.round(median(all.map((one) => one.idle)))} MiB`
    }
  })
)
console.table(reloaded)
