import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { Value } from '@sinclair/typebox/value'
import type { FastifyInstance } from 'fastify'
import { furnish, newCorridor, openDoors } from '../../plugins/corridor.ts'
import { definePlugin, type Principal } from '../../plugins/plugin.ts'
import { problem } from '../../plugins/problem.ts'
import { limitByService, limitBySubject, limitEarly } from '../../plugins/rate-limit/rate-limit.ts'
import { requestId } from '../../plugins/request-id.ts'
import { compileTable } from '../../routes/table/compile.ts'
import { exchangeOpener } from '../../routes/table/exchange.ts'
import { limitSchema, routeLimitSchema } from '../../services/limits/slice.ts'
import { ServiceRegistry, type Services } from '../../services/services.ts'
import { openEmbedded } from '../../services/store/embedded.ts'
import type { Store } from '../../services/store/store.ts'
import { LineWriter } from '../../services/telemetry/line-writer.ts'
import { createLog } from '../../services/telemetry/log.ts'
import { routeOf } from '../support/table.ts'

export interface CorridorTest {
  teardown(handler: () => unknown): void
  testdir(): string
}

export interface Built {
  readonly origin: string
  readonly app: FastifyInstance
  readonly services: Services
  log(): string
}

/** A listening corridor with the limits' three steps; who asks is said in `x-test-client` and `x-test-user` (a principal as JSON). */
export async function corridor(
  t: CorridorTest,
  options: {
    routes?: readonly { id: string; path: string; [field: string]: unknown }[]
    doors?: readonly string[]
    store?: Store
    services?: Services
  },
  setup?: (app: FastifyInstance, services: Services) => Promise<void>
): Promise<Built> {
  const { doors = [] } = options
  const routes = (options.routes ?? []).map(withDefaults)
  const services = options.services ?? servicesOf(t, options.store)
  const table = compileTable(
    routes.map(({ id, path, limit: _, serviceLimit: __, ...fields }) => ({
      ...routeOf({ id, path, ...fields })
    }))
  )
  const out = new PassThrough()
  let written = ''
  out.on('data', (chunk) => {
    written += chunk
  })
  const writer = new LineWriter(out)
  const app = newCorridor({
    log: createLog(writer, 'json', 'info'),
    accessLog: { writer, format: 'json' },
    open: exchangeOpener(table, (resource) => doors.includes(resource)),
    pathOf: ({ route, refusal, resource }) =>
      route === undefined && refusal === undefined ? resource : '/__proxy'
  })
  app.all('/__proxy', async () => 'passed')
  problem.setup(app, { base: 'urn:test:' }, services)
  requestId.setup(app, {}, services)
  app.addHook('onRequest', (request, _reply, done) => {
    const client = request.headers['x-test-client']
    if (client !== undefined) request.exchange.client = String(client)
    done()
  })
  await setup?.(app, services)
  const placed = [limitEarly, signIn, limitBySubject, limitByService].map((plugin) => ({
    plugin,
    options: {}
  }))
  const steps = await furnish(
    app,
    placed as unknown as Parameters<typeof furnish>[1],
    table.routes.map((route) => ({
      route,
      fields: { ...routes.find(({ id }) => id === route.id), ...route }
    })),
    services
  )
  openDoors(app, steps)
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  return {
    origin: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`,
    app,
    services,
    log: () => {
      writer.flush()
      return written
    }
  }
}

/** What reading a config adds to its limits. */
function withDefaults<Route extends Readonly<Record<string, unknown>>>(route: Route): Route {
  const { limit, serviceLimit } = route
  return {
    ...route,
    ...(limit !== undefined && { limit: Value.Default(routeLimitSchema, limit) }),
    ...(serviceLimit !== undefined && { serviceLimit: Value.Default(limitSchema, serviceLimit) })
  }
}

/** Stands where `authenticate` does. */
const signIn = definePlugin({
  key: 'test-sign-in',
  setup: () => () => (request) => {
    const user = request.headers['x-test-user']
    if (user !== undefined) request.exchange.principal = JSON.parse(String(user)) as Principal
  }
})

function servicesOf(t: CorridorTest, given: Store | undefined): Services {
  const store = given ?? openEmbedded(`${t.testdir()}/store`)
  const lease = new ServiceRegistry().lease()
  t.teardown(async () => {
    await lease.release()
    if (given === undefined) await store.close()
  })
  return { store, directory: '.', shared: lease.shared }
}
