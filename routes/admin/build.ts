import type { FastifyInstance } from 'fastify'
import { Pace } from '../../config/pace.ts'
import { toBytes } from '../../config/units.ts'
import { type CorridorOptions, newCorridor } from '../../plugins/corridor.ts'
import { doorLimit, guardArea } from '../../plugins/door-limit.ts'
import { holdFigures, metricsOf } from '../../plugins/metrics.ts'
import type { PlacedLimit } from '../../plugins/plugin.ts'
import { problem } from '../../plugins/problem.ts'
import { requestId } from '../../plugins/request-id.ts'
import { openAudit } from '../../services/audit/trail.ts'
import { banPolicy, openBans } from '../../services/bans/open.ts'
import type { BanOptions } from '../../services/bans/slice.ts'
import type { Rule } from '../../services/identity/rules.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'
import { openLimits } from '../../services/limits/open.ts'
import type { Sink } from '../../services/logs/sink.ts'
import type { NodeOverrides } from '../../services/nodes/node-overrides.ts'
import type { Runtime } from '../../services/runtime/runtime.ts'
import type { Services } from '../../services/services.ts'
import type { LineWriter } from '../../services/telemetry/line-writer.ts'
import type { Pool } from '../../services/upstream/pool.ts'
import type { Figures } from '../../services/workers/messages.ts'
import { registerHealth } from '../health.ts'
import type { HeadBounds } from '../table/bounds.ts'
import { compileTable, type Table } from '../table/compile.ts'
import { exchangeOpener } from '../table/exchange.ts'
import { type AdminOptions, adminToken, guardAdmin, takeEmptyBodies } from './admin.ts'
import { keepAudit, registerAudit } from './audit.ts'
import { registerBans } from './bans.ts'
import { registerConfig } from './config.ts'
import type { Control } from './control.ts'
import { registerExplain } from './explain.ts'
import type { Serving } from './explanation.ts'
import { registerKeys } from './keys.ts'
import { registerLimitDoors } from './limits.ts'
import { registerLockouts } from './lockouts.ts'
import { registerLogs } from './logs.ts'
import { registerNodes } from './nodes.ts'
import { describeCalls } from './openapi.ts'
import { registerRevocations } from './revocations.ts'
import { registerRoutes } from './routes.ts'
import { registerRuntime } from './runtime.ts'
import { adminVerifier, registerSessions } from './sessions.ts'
import { registerVerify } from './verify.ts'
import { registerWorkers } from './workers.ts'

/** What the admin side is made of. */
export interface AdminParts {
  readonly config: {
    readonly problem: Parameters<typeof problem.setup>[1]
    readonly doors: Parameters<typeof doorLimit.setup>[1]
    readonly listen: HeadBounds
    readonly admin: AdminOptions
    readonly guard: { readonly allow: readonly string[]; readonly ban: BanOptions }
    readonly auth?: AuthOptions | undefined
    readonly routes: readonly object[]
    readonly rules?: readonly Rule[] | undefined
  }
  readonly directory: string
  readonly services: Services
  readonly table: Table
  readonly pools: ReadonlyMap<string, Pool>
  readonly nodes: NodeOverrides
  /** The limits of the public side. */
  readonly limits: readonly PlacedLimit[]
  /** Where its access log goes besides standard output. */
  readonly sinks: readonly Sink[]
  /** What the public side does with requests. */
  readonly serving: Serving
  readonly log: CorridorOptions['log']
  readonly lines: LineWriter
  readonly format: 'json' | 'text'
  readonly control: Control
  readonly runtime: Runtime
  /** Apps that are to be closed with the config; this one is put there as soon as there is anything to close. */
  readonly opened: FastifyInstance[]
}

/** The admin side: health and metrics for whoever reaches it, everything else behind a token. */
export async function buildAdmin(
  parts: AdminParts
): Promise<{ readonly admin: FastifyInstance; figures(): Promise<Figures> }> {
  const { config, directory, services, table, pools, log, control } = parts
  const noRoutes = compileTable([])
  const pace = new Pace()
  const admin = newCorridor({
    log,
    maxBody: toBytes(config.admin.maxBody),
    accessLog: { writer: parts.lines, format: parts.format },
    open: exchangeOpener(noRoutes, () => true, config.listen),
    pathOf: ({ path, query }) => path + query
  })
  parts.opened.push(admin)
  const routes = new Set(table.routes.map(({ id }) => id))
  holdFigures(admin, { routes, services: pools }, metricsOf(services))
  problem.setup(admin, config.problem, services)
  requestId.setup(admin, {}, services)
  await doorLimit.setup(admin, config.doors, services)
  guardArea(admin, 'admin', (path) => path.startsWith('/admin'))
  admin.addHook('onRequest', (request, _reply, done) => done(request.exchange.refusal as Error | undefined))
  guardAdmin(
    admin,
    { operate: adminToken(config.admin, directory), read: config.admin.readToken },
    await adminVerifier(config.auth, services, (sentence) => log.warn(sentence))
  )
  const audit = openAudit(services, log)
  keepAudit(admin, audit)
  describeCalls(admin)
  await pace.rest()
  takeEmptyBodies(admin)
  const revocations = await registerRevocations(admin, config.auth, services)
  const limits = await openLimits(services, log)
  const bans = await openBans(services, log)
  const figures = registerHealth(
    admin,
    control,
    services,
    pools,
    { limits, bans, sinks: parts.sinks },
    revocations
  )
  registerLimitDoors(admin, limits, parts.limits)
  registerBans(admin, bans, banPolicy(config.guard.allow, config.guard.ban), audit)
  registerAudit(admin, audit)
  await registerConfig(admin, control, toBytes(config.admin.maxConfig))
  await registerSessions(admin, config.auth, services)
  await registerLockouts(admin, config.auth, services)
  await registerKeys(admin, config.auth, services)
  registerRoutes(admin, table, config.routes, pools)
  registerNodes(admin, pools, parts.nodes)
  registerRuntime(admin, parts.runtime)
  registerLogs(admin, parts.sinks)
  registerExplain(admin, parts.serving)
  registerVerify(admin, config.rules, config.auth?.issuer)
  registerWorkers(admin, control)
  await pace.rest()
  await admin.ready()
  return { admin, figures }
}
