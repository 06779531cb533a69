import { METHODS } from 'node:http'
import type { Attributes, Span, SpanContext } from '@opentelemetry/api'
import type { FastifyRequest } from 'fastify'
import { isProblem } from '../errors.ts'
import { withoutTokens } from '../services/logs/tokens.ts'
import { tracesSchema } from '../services/traces/slice.ts'
import { openTraces, type Traced, type Traces } from '../services/traces/tracer.ts'
import { definePlugin, type Exchange, type RouteInfo, type Step } from './plugin.ts'
import { protocolOf } from './public-origin.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Puts spans around the steps of a route; there only where requests are traced. */
    readonly stepTracer: StepTracer | undefined
  }
}

/** Asked once for each route and step, while the app is built. */
export interface StepTracer {
  around(key: string, take: Step): Step
  /** Comes after all other steps: from here on the service has the request. */
  last(route: RouteInfo): Step
}

/** A moment of performance.now() for the SDK, which puts what it measures itself up to a millisecond elsewhere in each span. */
const momentOf = (at: number): number => performance.timeOrigin + at
const present = (): number => momentOf(performance.now())

/** Of @opentelemetry/api, which is loaded only where somebody traces: its enumerations are numbers that do not change. */
const kinds = { internal: 0, server: 1, client: 2 } as const
const failed = { code: 2 } as const

const methods: ReadonlySet<string> = new Set(METHODS)

/** One span for each request, with one for each step and one for the service's part. Off, nobody is asked anything of it. */
export const traces = definePlugin({
  key: 'traces',

  slice: tracesSchema,

  async setup(app, options, services) {
    if (!options.enabled) return undefined
    const opened = await openTraces(services, options, {
      onLost: () => app.log.warn('the collector does not take spans: they are lost'),
      onReturn: () => app.log.info('the collector takes spans again')
    })
    const known = new WeakMap<Exchange, Traced>()
    app.addHook('onRequest', (request, _reply, done) => {
      const server = begin(request, opened)
      if (server.isRecording()) {
        known.set(request.exchange, { server, client: undefined })
        request.exchange.traceparent = traceparentOf(server.spanContext())
      }
      done()
    })
    app.decorate('stepTracer', stepTracer(opened, known))
    app.finishers.push((request, status, endedAt) => {
      const traced = known.get(request.exchange)
      if (traced !== undefined) end(traced, request, status, endedAt)
    })
    return undefined
  }
})

/** The span of a request: the client's trace goes on where its traceparent is well formed, which is then the exchange's own. */
function begin({ raw, exchange }: FastifyRequest, { tracer, root, under }: Traces): Span {
  const { route, traceparent, startedAt } = exchange
  const method = methods.has(raw.method!) ? raw.method! : '_OTHER'
  const attributes: Attributes = {
    'http.request.method': method,
    'url.path': withoutTokens(exchange.path),
    'url.scheme': protocolOf(raw, exchange)
  }
  if (exchange.host !== '') attributes['server.address'] = exchange.host
  if (route !== undefined) attributes['http.route'] = route.path
  const shown = method === '_OTHER' ? 'HTTP' : method
  return tracer.startSpan(
    route === undefined ? shown : `${shown} ${route.path}`,
    { kind: kinds.server, startTime: momentOf(startedAt), attributes },
    raw.headers.traceparent === traceparent ? under(contextOf(traceparent)) : root
  )
}

const contextOf = (traceparent: string): SpanContext => ({
  traceId: traceparent.slice(3, 35),
  spanId: traceparent.slice(36, 52),
  traceFlags: Number.parseInt(traceparent.slice(53), 16) & 1,
  isRemote: true
})

/** Only sampled spans are told of. */
const traceparentOf = ({ traceId, spanId }: SpanContext): string => `00-${traceId}-${spanId}-01`

function stepTracer({ tracer, under }: Traces, known: WeakMap<Exchange, Traced>): StepTracer {
  return {
    around(key, take) {
      const traced: Step = (request, reply) => {
        const parent = known.get(request.exchange)?.server
        if (parent === undefined) return take(request, reply)
        const span = tracer.startSpan(
          `step ${key}`,
          { kind: kinds.internal, startTime: present() },
          under(parent.spanContext())
        )
        try {
          const waiting = take(request, reply)
          if (waiting === undefined) {
            span.end(present())
            return undefined
          }
          return waiting.then(
            () => span.end(present()),
            (error: unknown) => {
              endRefused(span, error)
              throw error
            }
          )
        } catch (error) {
          endRefused(span, error)
          throw error
        }
      }
      return take.explain === undefined ? traced : Object.assign(traced, { explain: take.explain })
    },

    last({ service }) {
      const step: Step = ({ raw, exchange }) => {
        const traced = known.get(exchange)
        if (traced === undefined) return
        const method = raw.method!
        traced.client = tracer.startSpan(
          method,
          {
            kind: kinds.client,
            attributes: { 'http.request.method': method, 'tollkeeper.service': service }
          },
          under(traced.server.spanContext())
        )
        exchange.traceparent = traceparentOf(traced.client.spanContext())
      }
      return Object.assign(step, { explain: () => {} })
    }
  }
}

function endRefused(span: Span, error: unknown): void {
  const code = isProblem(error) ? error.code : 'INTERNAL'
  span.setAttribute('error.type', code)
  if (!isProblem(error) || error.statusCode >= 500) span.setStatus(failed)
  span.end(present())
}

function end({ server, client }: Traced, { exchange }: FastifyRequest, status: number, at: number): void {
  const { verdict, reason, detour, upstreamTime } = exchange
  server.setAttribute('http.response.status_code', status)
  if (verdict !== 'allowed') {
    server.setAttribute('error.type', verdict)
    if (reason !== undefined) server.setAttribute('tollkeeper.reason', reason)
  } else if (status >= 500) server.setAttribute('error.type', String(status))
  if (status >= 500) server.setStatus(failed)
  if (client !== undefined) {
    if (detour !== undefined) client.setAttribute('tollkeeper.service', detour.service)
    if (upstreamTime === undefined) {
      client.setAttribute('error.type', verdict === 'allowed' ? (reason ?? 'not asked') : verdict)
      client.setStatus(failed)
    } else if (verdict === 'allowed') {
      client.setAttribute('http.response.status_code', status)
      if (status >= 400) client.setAttribute('error.type', String(status)).setStatus(failed)
    } else client.setAttribute('error.type', verdict).setStatus(failed)
    client.end(momentOf(at))
  }
  server.end(momentOf(at))
}
