// What counting a request in the process costs: by @fastify/rate-limit, and by our own step. Run with `npm run bench:rate-limit`.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import { countingStep } from '../build/plugins/rate-limit/step.js'
import { openLimits } from '../build/services/limits/open.js'
import { ServiceRegistry } from '../build/services/services.js'
import { openStore } from '../build/services/store/open.js'

const rounds = 7
const requests = 30_000
const clients = Array.from({ length: 1000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`)
const directory = mkdtempSync(join(tmpdir(), 'toll-bench-'))
const store = await openStore({ driver: 'embedded', path: 'store' }, directory)
const services = { store, directory, shared: new ServiceRegistry().lease().shared }
const limits = await openLimits(services, console)

async function bare() {
  const app = Fastify()
  app.get('/', async () => 'ok')
  await app.ready()
  return app
}

async function withPackage() {
  const app = Fastify()
  await app.register(rateLimit, {
    global: false,
    keyGenerator: ({ headers }) => headers['x-client']
  })
  app.get('/', { config: { rateLimit: { max: 1_000_000_000, timeWindow: 1000 } } }, async () => 'ok')
  await app.ready()
  return app
}

async function withStep() {
  const app = Fastify()
  const options = {
    ...{ qps: 1_000_000, slack: 100_000, by: 'address', scope: 'local', onStoreError: 'local' },
    ...{ mode: 'reject', maxWait: '1s', maxQueue: 0, cost: 1, shadow: false }
  }
  const limit = limits.limit('route:bench', options, { shared: (_key, create) => create() })
  const step = countingStep(limits, {
    ...{ limit, name: 'bench', by: 'address', reason: 'limit' },
    keyOf: ({ headers }) => headers['x-client']
  })
  app.decorateRequest('tightest', undefined)
  app.addHook('onRequest', (request, reply, done) => {
    step(request, reply)
    done()
  })
  app.get('/', async () => 'ok')
  await app.ready()
  return app
}

const apps = {
  'no limit': await bare(),
  '@fastify/rate-limit': await withPackage(),
  'our step': await withStep()
}
const costs = Object.fromEntries(Object.keys(apps).map((name) => [name, []]))
// In turns, so that a busy machine is busy for all of them; the first round only warms up.
for (let round = 0; round <= rounds; round += 1) {
  for (const [name, app] of Object.entries(apps)) {
    const before = process.cpuUsage()
    for (let index = 0; index < requests; index += 1) {
      const { statusCode } = await app.inject({
        url: '/',
        headers: { 'x-client': clients[index % clients.length] }
      })
      if (statusCode !== 200) throw new Error(`${name} answered ${statusCode}`)
      // What only a turn of the event loop lets go of would add up.
      if (index % 50 === 0) await new Promise(setImmediate)
    }
    const { user, system } = process.cpuUsage(before)
    if (round > 0) costs[name].push((user + system) / requests)
  }
  if (process.stderr.isTTY) process.stderr.write(`\rround ${round} of ${rounds} `)
}
if (process.stderr.isTTY) process.stderr.write('\r')
const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
const base = middle(costs['no limit'])
console.log('                        us of CPU a request   of them for the limit')
for (const [name, values] of Object.entries(costs)) {
  const cost = middle(values)
  console.log(`${name.padEnd(24)}${cost.toFixed(1).padStart(19)}${(cost - base).toFixed(1).padStart(24)}`)
}
for (const app of Object.values(apps)) await app.close()
await limits.close()
await store.close()
rmSync(directory, { recursive: true, force: true })
