import type { IncomingMessage, ServerResponse } from 'node:http'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController
} from 'fastify'
import { Pace } from '../config/pace.ts'
import type { Problem } from '../errors.ts'
import type { Services } from '../services/services.ts'
import { ByRoute } from './by-route.ts'
import type { Exchange, Finisher, RouteInfo, Step, StepOf } from './plugin.ts'
import { makeRequestIds } from './request-id.ts'
import type { Placed } from './third-party.ts'

/** What one config decided for each of its routes: the steps its requests take, in order. */
export type Steps = Pick<ByRoute<readonly PlacedStep[]>, 'get'>

/** A step and the key of the plugin it is of. */
export interface PlacedStep {
  readonly key: string
  readonly take: Step
}

/** A route, and the same with everything that plugins read of it. */
export interface Furnished {
  readonly route: RouteInfo
  readonly fields: RouteInfo
}

export interface CorridorOptions {
  readonly log: FastifyBaseLogger
  readonly accessLog: FastifyInstance['accessLog']
  /** Opens the exchange of a request; called once, before anything else looks at it. */
  readonly open: (raw: IncomingMessage) => Exchange
  /** The path under which the app's own router knows the request. */
  readonly pathOf: (exchange: Exchange) => string
  /** Most bytes of a body that the app reads itself, where a door says nothing of its own. */
  readonly maxBody?: number
}

const kExchange = Symbol('exchange')
const kRequest = Symbol('request')

type Opened = IncomingMessage & { [kExchange]: Exchange; [kRequest]: FastifyRequest }

/** A Fastify app whose requests carry an exchange from their first moment to their last. */
export function newCorridor({
  log,
  accessLog,
  open,
  pathOf,
  maxBody = 64 * 1024
}: CorridorOptions): FastifyInstance {
  const app = Fastify({
    // With a logger of its own Fastify listens to each response only to log it, and makes a child logger for each request; ours is put in
    // its place below, and names the request id where it matters.
    logger: false,
    childLoggerFactory: () => log,
    logController: new LogController({ disableRequestLogging: true }),
    requestIdHeader: false,
    genReqId: makeRequestIds(),
    return503OnClosing: false,
    bodyLimit: maxBody,
    // Schemas here are our own: to compile the schema of schemas takes longer than all else of an app.
    ajv: { customOptions: { validateSchema: false } },
    rewriteUrl: (raw) => {
      const exchange = open(raw as IncomingMessage)
      ;(raw as Opened)[kExchange] = exchange
      return pathOf(exchange)
    }
  }) as unknown as FastifyInstance
  app.log = log
  const finishers: FastifyInstance['finishers'] = []
  app.decorate('finishers', finishers)
  app.decorate('accessLog', accessLog)
  app.decorate('payloadHooks', notePayloadHooks(app))
  app.decorateRequest('exchange')
  // One for all requests: a closure for each would be made and collected with them.
  const onClose = function (this: ServerResponse): void {
    finish(finishers, (this.req as Opened)[kRequest], this)
  }
  app.addHook('onRequest', (request, reply, done) => {
    const raw = request.raw as Opened
    request.exchange = raw[kExchange]
    raw[kRequest] = request
    // A response closes once, so `once` and what it allocates are not needed.
    reply.raw.on('close', onClose)
    done()
  })
  return app
}

/** Names of the hooks on payloads that anybody asks for from now on, in this app or in a scope of it. */
function notePayloadHooks(app: FastifyInstance): ReadonlySet<string> {
  const noted = new Set<string>()
  const addHook = app.addHook as (this: FastifyInstance, name: string, hook: unknown) => FastifyInstance
  app.addHook = function (this: FastifyInstance, name: string, hook: unknown) {
    if (name === 'onSend' || name === 'preSerialization') noted.add(name)
    return addHook.call(this, name, hook)
  } as never
  return noted
}

function finish(
  finishers: readonly Finisher[],
  request: FastifyRequest,
  { headersSent, statusCode, writableFinished }: ServerResponse
): void {
  const { exchange } = request
  exchange.answering?.onClose()
  // Where nothing was sent, the client left, unless it was refused past the app.
  const status = headersSent || exchange.verdict !== 'allowed' ? statusCode : 499
  if (!writableFinished && status !== 101) exchange.reason ??= 'client_left'
  const now = performance.now()
  for (const finish of finishers) finish(request, status, now)
}

/** Notes that it is the gateway that ends this request, which leaves before its answer is out. */
export function cutOff({ req }: ServerResponse, reason: string): void {
  const exchange: Exchange | undefined = (req as Opened)[kExchange]
  if (exchange !== undefined) exchange.reason ??= reason
}

/** Notes a refusal that reaches the client past the app; the id of the request, or undefined for one that was never in an app. */
export function refusePast(response: ServerResponse, problem: Problem): string | undefined {
  const raw = response.req as Opened
  const request: FastifyRequest | undefined = raw[kRequest]
  if (request === undefined) return undefined
  const { exchange, id } = request
  exchange.verdict = problem.code
  exchange.reason = problem.reason
  response.statusCode = problem.statusCode
  return id
}

/** Sets each plugin up, in order, and asks it for its step on every route; `fields` are the route's with what the plugins read. */
export async function furnish(
  app: FastifyInstance,
  corridor: readonly Placed[],
  routes: Iterable<Furnished>,
  services: Services
): Promise<Steps> {
  const stepsOf: { readonly key: string; readonly stepOf: StepOf<never> }[] = []
  const pace = new Pace()
  for (const { plugin, options } of corridor) {
    await pace.rest()
    const stepOf = await plugin.setup(app, options as never, services)
    if (stepOf !== undefined) stepsOf.push({ key: plugin.key, stepOf })
  }
  const { stepTracer } = app
  const steps = new ByRoute<readonly PlacedStep[]>()
  for (const { route, fields } of routes) {
    const placed: PlacedStep[] = []
    for (const { key, stepOf } of stepsOf) {
      const take = stepOf(fields as never)
      if (take !== undefined) placed.push({ key, take })
    }
    join(placed)
    const traced = stepTracer && [
      ...placed.map(({ key, take }) => ({ key, take: stepTracer.around(key, take) })),
      { key: 'traces', take: stepTracer.last(route) }
    ]
    steps.set(route, traced ?? placed)
    if (pace.isDue) await pace.rest()
  }
  return steps
}

/** Lets a step that asks the store do the next one's part with it. A canary's choice between them refuses nobody. */
function join(placed: readonly PlacedStep[]): void {
  for (const [at, { take }] of placed.entries()) {
    if (take.precedes === undefined) continue
    const next = placed.slice(at + 1).find(({ key }) => key !== 'canary')
    if (next?.take.ahead !== undefined) take.precedes(next.take.ahead)
  }
}

/** Sends each request on its way: what was wrong with it from the start is thrown here, after every app-wide hook has seen it. */
export function openDoors(app: FastifyInstance, steps: Steps): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { refusal, route } = request.exchange
    if (refusal !== undefined) done(refusal as Error)
    else if (route === undefined) done()
    else walk(steps.get(route)!, 0, request, reply, done)
  })
}

type Done = (error?: Error) => void

/** Takes the steps from `from` on; only a step that has to wait costs a promise. */
function walk(
  steps: readonly PlacedStep[],
  from: number,
  request: FastifyRequest,
  reply: FastifyReply,
  done: Done
): void {
  try {
    for (let index = from; index < steps.length; index += 1) {
      const waiting = steps[index]!.take(request, reply)
      if (waiting === undefined) continue
      waiting.then(() => walk(steps, index + 1, request, reply, done), done)
      return
    }
  } catch (error) {
    done(error as Error)
    return
  }
  done()
}
