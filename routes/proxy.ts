import { METHODS } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { RouteNotFound } from '../errors.ts'
import type { Exchange } from '../plugins/plugin.ts'
import { DirectCall } from './proxy/direct-call.ts'
import type { Plan, Plans } from './proxy/plan.ts'
import { RelayedCall } from './proxy/relayed-call.ts'
import { planFor } from './proxy/release.ts'
import { pendingUpgrade } from './proxy/upgrade.ts'
import { UpgradeCall } from './proxy/upgrade-call.ts'

/** The two doors behind which every configured route is, by the path under which the app's own router knows them. */
const doors = { direct: '/__direct', 'http-proxy': '/__http-proxy' } as const

/** Where the app's router finds who answers a request that has a route. */
export const proxyPath = (plans: Plans, { route }: Exchange): string =>
  doors[(route && plans.get(route))?.engine ?? 'direct']

/**
 * Opens the doors. Behind `direct` the answer is written to the client's connection as it comes; behind `http-proxy` it goes back through
 * @fastify/http-proxy and Fastify's hooks.
 */
export async function registerProxy(app: FastifyInstance, plans: Plans): Promise<void> {
  const methods = METHODS.filter((method) => method !== 'CONNECT' && method !== 'TRACE')
  for (const method of methods) {
    if (!app.supportedMethods.includes(method)) app.addHttpMethod(method, { hasBody: false })
  }
  const planOf = ({ method, exchange }: FastifyRequest): Plan => {
    const plan = exchange.route && plans.get(exchange.route)
    if (plan !== undefined) return planFor(plan, exchange)
    throw RouteNotFound([method, exchange.path], { reason: 'route' })
  }
  await app.register(async (scope) => registerDirect(scope, methods, planOf))
  if (plans.some(({ engine }) => engine === 'http-proxy'))
    await app.register(async (scope) => registerRelay(scope, methods, planOf))
}

function registerDirect(
  scope: FastifyInstance,
  methods: readonly string[],
  planOf: (request: FastifyRequest) => Plan
): void {
  takeAnyBody(scope)
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', (_request, _body, done) => done(null))
  scope.route({
    method: [...methods] as never,
    url: doors.direct,
    handler: (request, reply) => call(request, reply, planOf(request))
  })
}

function call(request: FastifyRequest, reply: FastifyReply, plan: Plan): void {
  const pending = pendingUpgrade(request.raw)
  if (pending === undefined) new DirectCall(request, reply, plan).send()
  else new UpgradeCall(request, reply, plan, pending).send()
}

/** Never resolved: @fastify/http-proxy wants to know an upstream, the pool knows better. */
const placeholder = 'http://upstream.invalid'

const kCall = Symbol('call')
type Called = FastifyRequest & { [kCall]?: RelayedCall }

/**
 * @fastify/http-proxy takes the request from Fastify and gives the answer back; between the two stands our own client, because the one it
 * brings retries 503s, drops bodies of GET requests, relays Connection and keeps working for clients that left.
 */
async function registerRelay(
  scope: FastifyInstance,
  methods: readonly string[],
  planOf: (request: FastifyRequest) => Plan
): Promise<void> {
  takeAnyBody(scope)
  // Loaded here, since it brings a client along that takes 20 MiB and is not used.
  const { default: httpProxy } = await import('@fastify/http-proxy')
  await scope.register(httpProxy, {
    upstream: placeholder,
    prefix: doors['http-proxy'],
    routes: ['/'],
    httpMethods: [...methods],
    disableRequestLogging: true,
    internalRewriteLocationHeader: false,
    undici: client as object,
    handler: (request, reply) => {
      const plan = planOf(request)
      // A WebSocket has no payload that a hook could see.
      if (pendingUpgrade(request.raw) !== undefined) return call(request, reply, plan)
      ;(request as Called)[kCall] = new RelayedCall(request, reply, plan)
      return reply.from('/', relayOptions)
    }
  })
}

/** What the body is is for the service to say: Fastify may not refuse a content type that it cannot read, nor a QUERY without one. */
function takeAnyBody(scope: FastifyInstance): void {
  scope.addHook('onRequest', ({ raw: { method, headers } }, _reply, done) => {
    if (headers['content-type'] !== undefined || method === 'QUERY')
      headers['content-type'] = 'application/octet-stream'
    done()
  })
}

/** The same for all requests: what differs is in the call. */
const relayOptions = {
  // The call is all that our client needs; @fastify/reply-from copies it along with the headers it is on.
  rewriteRequestHeaders: (request: unknown) =>
    ({ [kCall]: (request as Called)[kCall] }) as Record<never, never>,
  retryDelay: () => null,
  onResponse: (request: unknown) => (request as Called)[kCall]?.answer()
}

/** @fastify/reply-from takes any object that has `request` for its client. */
const client = {
  request(
    { headers }: { readonly headers: { readonly [kCall]?: RelayedCall } },
    callback: (error: null, answer: { statusCode: number; headers: object; body: undefined }) => void
  ): void {
    const call = headers[kCall]
    // The call has put status and headers on the reply itself.
    call?.relay(() =>
      callback(null, { statusCode: Math.min(call.status, 599), headers: {}, body: undefined })
    )
  }
}
