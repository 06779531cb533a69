import { Type } from '@sinclair/typebox'
import { flat } from '../services/flat.ts'
import { openSinks } from '../services/logs/open.ts'
import { sinksSchema } from '../services/logs/slice.ts'
import { withoutTokens } from '../services/logs/tokens.ts'
import { textLine } from '../services/telemetry/log.ts'
import { ByRoute } from './by-route.ts'
import { type Detour, definePlugin, type Principal, type RouteInfo } from './plugin.ts'

/** Writes one line for each finished request: who asked for what, which route, and what the gateway decided and why. */
export const accessLog = definePlugin({
  key: 'log',

  slice: Type.Object(
    {
      level: Type.Union(
        ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].map((level) => Type.Literal(level)),
        { default: 'info', description: "Least severe of the gateway's own messages to write." }
      ),
      format: Type.Union([Type.Literal('auto'), Type.Literal('json'), Type.Literal('text')], {
        default: 'auto',
        description: '`text` for people, `json` for collectors, `auto`: text on a terminal.'
      }),
      access: Type.Boolean({
        default: true,
        description: 'Whether each request gets a line on standard output. Sinks get lines all the same.'
      }),
      sinks: sinksSchema
    },
    {
      additionalProperties: false,
      default: {},
      description: 'What is written to standard output, and where else.'
    }
  ),

  setup(app, { access, sinks: options }, services) {
    const { writer, format, messages } = app.accessLog
    const sinks = openSinks(options, services, { log: app.log, messages })
    app.decorate('sinks', sinks)
    if (!access && sinks.length === 0) return undefined
    const clock = new LogClock()
    // What a route's lines have in common, written once.
    const places = new ByRoute<string>()
    const placeOf = (route: RouteInfo): string => {
      const place = flat(`,"route":"${escaped(route.id)}","service":"${escaped(route.service)}"`)
      places.set(route, place)
      return place
    }
    app.finishers.push((request, status, endedAt) => {
      const { exchange } = request
      const { route, principal, upstreamTime, detour } = exchange
      // The query stays out: it is where tokens are put by mistake.
      let line = `{"time":"${clock.now()}","level":"info","msg":"request","requestId":"${escaped(request.id)}"`
      line += `,"client":"${escaped(exchange.client)}","method":"${request.raw.method}"`
      line += `,"host":"${escaped(exchange.host)}","path":"${escaped(withoutTokens(exchange.path))}"`
      line += `,"status":${status},"duration":${hundredths(endedAt - exchange.startedAt)}`
      if (detour !== undefined) line += detoured(route!, detour)
      else if (route !== undefined) line += places.get(route) ?? placeOf(route)
      if (exchange.node !== undefined) line += `,"node":"${escaped(exchange.node)}"`
      if (upstreamTime !== undefined) line += `,"upstream":${hundredths(upstreamTime)}`
      if (principal !== undefined) line += who(principal)
      line += exchange.verdict === 'allowed' ? allowed : `,"verdict":"${escaped(exchange.verdict)}"`
      if (exchange.shadow !== undefined) line += `,"shadow":"${escaped(exchange.shadow)}"`
      line += exchange.reason === undefined ? '}' : `,"reason":"${escaped(exchange.reason)}"}`
      const isOrdinary = exchange.verdict === 'allowed' && status < 500
      for (const sink of sinks) sink.offer(line, isOrdinary)
      if (access) writer.write(format === 'json' ? line : textLine(line))
    })
    return undefined
  }
})

/** Route and service of a request whose route has more than one place for it. */
function detoured({ id }: RouteInfo, { service, side, fallback }: Detour): string {
  let text = `,"route":"${escaped(id)}","service":"${escaped(service)}"`
  if (side !== undefined) text += `,"side":"${side}"`
  if (fallback !== undefined) text += `,"fallback":"${escaped(fallback)}"`
  return text
}

function who(principal: Principal): string {
  const { notes } = principal
  if (notes === undefined) return written(principal)
  if (notes.logged === '') notes.logged = flat(written(principal))
  return notes.logged
}

function written({ subject, session, key }: Principal): string {
  let text = `,"subject":"${escaped(subject)}"`
  if (session !== undefined) text += `,"session":"${escaped(session)}"`
  if (key !== undefined) text += `,"key":"${escaped(key)}"`
  return text
}

const allowed = ',"verdict":"allowed"'

const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/

/** As it stands between the quotes of JSON; most of what is logged needs no escapes. */
const escaped = (text: string): string => (plain.test(text) ? text : JSON.stringify(text).slice(1, -1))

/** ISO 8601 with milliseconds. Only those change from line to line, so the second is written once. */
class LogClock {
  #second = 0
  #text = ''

  now(): string {
    const now = Date.now()
    const rest = now % 1000
    const second = now - rest
    if (second !== this.#second) {
      this.#second = second
      this.#text = new Date(second).toISOString().slice(0, -4)
    }
    return `${this.#text}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`
  }
}

const fractions = Array.from({ length: 100 }, (_, hundredth) => String(hundredth / 100).slice(1))

/** A number with at most two decimals, put together from whole ones: to print a fraction takes longer than all else of a line. */
function hundredths(value: number): string {
  const all = Math.round(value * 100)
  const rest = all % 100
  return `${(all - rest) / 100}${fractions[rest]}`
}
