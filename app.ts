import type { FastifyInstance } from 'fastify'
import { checks as generic } from './config/checks.ts'
import type { Slice } from './config/compose.ts'
import { type LoadedConfig, loadConfig } from './config/config.ts'
import type { Check, Report } from './config/mistake.ts'
import { Pace } from './config/pace.ts'
import { listen, shutdown, workers } from './config/process.ts'
import { toMilliseconds } from './config/units.ts'
import { type Unmasked, unknownSecret } from './config/unmask.ts'
import { ByRoute } from './plugins/by-route.ts'
import { type Furnished, furnish, newCorridor, openDoors } from './plugins/corridor.ts'
import { plugins } from './plugins/index.ts'
import type { RouteInfo } from './plugins/plugin.ts'
import { thirdParty } from './plugins/slice.ts'
import { type Placed, placeThirdParty, thirdPartySlices } from './plugins/third-party.ts'
import { adminSlice, adminToken } from './routes/admin/admin.ts'
import { buildAdmin } from './routes/admin/build.ts'
import { adminTokens } from './routes/admin/check.ts'
import type { Control } from './routes/admin/control.ts'
import type { Serving } from './routes/admin/explanation.ts'
import { registerAuth } from './routes/auth/auth.ts'
import { doorCollisions, doorPath, doorsOf } from './routes/auth/doors.ts'
import { answerDebug } from './routes/debug.ts'
import type { GatewayMemory } from './routes/memory.ts'
import { type Engine, type Plans, planRoutes } from './routes/proxy/plan.ts'
import { type Releases, releasesOf } from './routes/proxy/release.ts'
import { proxyPath, registerProxy } from './routes/proxy.ts'
import { routeTableWith } from './routes/table/check.ts'
import type { Table } from './routes/table/compile.ts'
import { exchangeOpener } from './routes/table/exchange.ts'
import { RouteMemory } from './routes/table/memory.ts'
import { methodGapsWith } from './routes/table/method-gaps.ts'
import { releaseOptions } from './routes/table/release-check.ts'
import { routesSlice } from './routes/table/slice.ts'

import { networkLists } from './services/bans/check.ts'
import { corsOptions } from './services/cors/check.ts'
import { guardPatterns } from './services/detect/check.ts'
import { accessOf, type RouteAuth } from './services/identity/access.ts'
import { accessOptions } from './services/identity/access-check.ts'
import { apiKeyOptions } from './services/identity/api-keys/check.ts'
import { Assertions } from './services/identity/assertions.ts'
import { identityOptions } from './services/identity/check.ts'
import { setsCookies } from './services/identity/cookies/names.ts'
import { issuerOptions } from './services/identity/issuers/check.ts'
import { openIdentity } from './services/identity/open.ts'
import { openExchangesOf } from './services/identity/open-exchanges.ts'
import { idleRules } from './services/identity/rules-check.ts'
import { checkOwnProvider } from './services/identity/sessions/own-provider.ts'
import type { AuthOptions } from './services/identity/slice.ts'
import { usersOptions } from './services/identity/users/check.ts'
import { InFlight } from './services/in-flight.ts'
import { limitOptions } from './services/limits/check.ts'
import { sinkOptions } from './services/logs/check.ts'
import type { NodeOverrides } from './services/nodes/node-overrides.ts'
import { openNodeOverrides } from './services/nodes/open.ts'
import { pressureOf } from './services/pressure/pressure.ts'
import type { Runtime } from './services/runtime/runtime.ts'
import { runtimeSlice } from './services/runtime/slice.ts'
import type { ServiceRegistry, Services } from './services/services.ts'
import { openStore } from './services/store/open.ts'
import { storeSlice } from './services/store/slice.ts'
import type { LineWriter } from './services/telemetry/line-writer.ts'
import type { Log, LogFormat } from './services/telemetry/log.ts'
import { tracesOptions } from './services/traces/check.ts'
import { tunnelsOf } from './services/transport/tunnel.ts'
import type { Pool } from './services/upstream/pool.ts'
import { openPools } from './services/upstream/pools.ts'
import { servicesSlice } from './services/upstream/slice.ts'
import { validateOptions } from './services/validation/check.ts'
import { workerOptions } from './services/workers/check.ts'
import type { Figures } from './services/workers/messages.ts'

/** Every key of gateway.config.json, each with its owner. */
export const slices = [
  listen,
  workers,
  shutdown,
  adminSlice,
  { key: 'store', slice: storeSlice },
  routesSlice,
  servicesSlice,
  { key: 'runtime', slice: runtimeSlice },
  thirdParty,
  ...plugins
] as const satisfies readonly Slice[]

/** What schemas cannot say, for `toll check` and every load. */
const checksWith = (routes: RouteMemory): readonly Check[] => [
  ...generic,
  routeTableWith(routes),
  methodGapsWith(routes),
  releaseOptions,
  doorCollisions,
  identityOptions,
  apiKeyOptions,
  idleRules,
  usersOptions,
  accessOptions,
  issuerOptions,
  limitOptions,
  sinkOptions,
  networkLists,
  guardPatterns,
  validateOptions,
  corsOptions,
  adminTokens,
  tracesOptions,
  workerOptions
]

/** The same for whoever reads one config only. */
export const checks = checksWith(new RouteMemory())

/** A config that was read and found good. */
export type GatewayConfig = LoadedConfig<typeof slices>

/** Reads a config file whole, or a text as if it were in it; rejects with a ConfigError and every mistake in it. */
export const loadGatewayConfig = (
  path: string,
  memory?: GatewayMemory,
  { text, refused = [] }: Partial<Unmasked> = {}
): Promise<GatewayConfig> =>
  loadConfig({
    path,
    slices,
    checks: [...checksWith(memory?.routes ?? new RouteMemory()), ...refused.map(unknownSecret)],
    ...(text !== undefined && { text }),
    ...(memory !== undefined && { memory: memory.config }),
    extend: async (config: unknown, report: Report, directory: string) => {
      await checkOwnProvider(config, report, directory)
      return thirdPartySlices((config as { plugins?: unknown } | null)?.plugins, slices, report, directory)
    }
  })

/** What an app needs of the process it is built in. */
export interface Process {
  readonly registry: ServiceRegistry
  readonly log: Log
  readonly lines: LineWriter
  readonly format: LogFormat
  readonly control: Control
  readonly runtime: Runtime
  readonly memory: GatewayMemory
}

/** One config at work: its apps, its hold on the services, and what is under way in it. Never changed, only replaced. */
export interface Generation {
  readonly loaded: GatewayConfig
  readonly app: FastifyInstance
  readonly admin: FastifyInstance
  readonly inFlight: InFlight
  /** What the process has counted so far. */
  figures(): Promise<Figures>
  /** This is the config that serves from here on. */
  activate(): void
  close(): Promise<void>
}

/** Builds the apps for one config. When that fails, whatever it opened is closed again. */
export async function buildGeneration(loaded: GatewayConfig, process: Process): Promise<Generation> {
  const lease = process.registry.lease()
  const opened: FastifyInstance[] = []
  const close = async () => {
    await Promise.all(opened.map((app) => app.close()))
    await lease.release()
  }
  try {
    const { store: options } = loaded.value
    const store = await lease.shared(
      `store:${JSON.stringify(options)}`,
      () => openStore(options, loaded.directory),
      async (opening) => (await opening).close()
    )
    const services: Services = { store, directory: loaded.directory, shared: lease.shared }
    const pools = openPools(services, loaded.value.services)
    const nodes = await openNodeOverrides(services, pools)
    await Promise.all([...pools.values()].map((pool) => pool.located()))
    const served = { table: process.memory.routes.table(loaded.value.routes), pools, nodes }
    const { app, serving } = await buildApp(loaded, services, served, process, opened)
    const own = { config: loaded.value, directory: loaded.directory, services, opened }
    const { admin, figures } = await buildAdmin({
      ...own,
      ...served,
      ...process,
      serving,
      limits: app.limits,
      sinks: app.sinks
    })
    const activate = () => {
      for (const pool of served.pools.values()) pool.activate()
    }
    const inFlight = new InFlight(pressureOf(services).underWay)
    return { loaded, app, admin, inFlight, figures, activate, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** What both sides know of the routes and services of one config. */
interface Served {
  readonly table: Table
  readonly pools: ReadonlyMap<string, Pool>
  /** What was changed about their nodes while running. */
  readonly nodes: NodeOverrides
}

/** The public side: the corridor, the gateway's own doors, and every configured route. */
async function buildApp(
  { value: config, directory }: GatewayConfig,
  services: Services,
  { table, pools }: Served,
  process: Process,
  opened: FastifyInstance[]
): Promise<{ readonly app: FastifyInstance; readonly serving: Serving }> {
  const isDoor = doorsOf(config.auth)
  const open = exchangeOpener(table, isDoor, config.listen)
  let plans: Plans = new ByRoute()
  const app = newCorridor({
    log: process.log,
    accessLog: { writer: process.lines, format: process.format, messages: process.lines.listeners },
    open,
    pathOf: (exchange) => {
      const { route, refusal, resource, query } = exchange
      return route === undefined && refusal === undefined
        ? doorPath(resource) + query
        : proxyPath(plans, exchange)
    }
  })
  opened.push(app)
  const { admin } = config
  const tokens = [adminToken(admin, directory), admin.readToken].filter((token) => token !== undefined)
  answerDebug(app, table, tokens)
  const builtIn = plugins.map((plugin) => ({ plugin, options: config[plugin.key as keyof typeof config] }))
  const releases = releasesOf(config, services)
  const corridor = await placeThirdParty(builtIn as unknown as Placed[], config.plugins, directory)
  const steps = await furnish(app, corridor, fieldsOf(config, table, releases), services)
  openDoors(app, steps)
  const pace = new Pace()
  await registerAuth(app, config.auth, services)
  // Whatever plugins registered is loaded by then, with its hooks.
  await app.after()
  await pace.rest()
  plans = await planRoutes({
    table,
    pools,
    engineOf: (service) => engineOf(config.services[service]?.transport, app.payloadHooks),
    tunnels: tunnelsOf(services),
    open: openExchangesOf(services),
    accessOf: ({ index }) => {
      const { auth } = config.routes[index] as { readonly auth?: RouteAuth }
      return accessOf(auth, config.auth?.audience ?? '')
    },
    identityHeaders: config.auth?.headers,
    assertions: await assertionsOf(config.auth, services, (sentence) => process.log.warn(sentence)),
    kept: [config.auth?.apiKeys?.header ?? [], config.auth?.assertion.header ?? []].flat(),
    hidesCookies: setsCookies(config.auth),
    releases
  })
  await registerProxy(app, plans)
  await pace.rest()
  await app.ready()
  await pace.rest()
  const identityHeaders = Object.values(config.auth?.headers ?? {})
  const first = [{ key: 'guard', explain: app.guarding }]
  return { app, serving: { open, first, steps, plans, table, identityHeaders } }
}

/** The direct engine, unless somebody wants to see payloads; a service that names one gets that. */
const engineOf = (wanted: 'auto' | Engine | undefined, payloadHooks: ReadonlySet<string>): Engine =>
  wanted === undefined || wanted === 'auto' ? (payloadHooks.size > 0 ? 'http-proxy' : 'direct') : wanted

/** Each route with all that plugins read of it. */
function* fieldsOf(
  { routes, services }: GatewayConfig['value'],
  table: Table,
  releases: Releases
): Iterable<Furnished> {
  for (const route of table.routes) {
    const serviceLimit = services[route.service]?.limit
    const canaryLimit = services[releases.of(route).canary?.service ?? '']?.limit
    yield { route, fields: { ...routes[route.index], ...route, serviceLimit, canaryLimit } as RouteInfo }
  }
}

/** What tells services who is asking, signed by the keys of the identity. */
async function assertionsOf(
  auth: AuthOptions | undefined,
  services: Services,
  warn: (sentence: string) => void
) {
  if (auth === undefined) return undefined
  const { keys } = await openIdentity(auth, services, warn)
  const { header, ttl } = auth.assertion
  return {
    header,
    writer: new Assertions(keys, { issuer: auth.issuer, ttl: Math.floor(toMilliseconds(ttl) / 1000) })
  }
}
