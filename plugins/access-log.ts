import { Type } from '@sinclair/typebox'
import { textLine } from '../services/telemetry/log.ts'
import { definePlugin } from './plugin.ts'

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
      access: Type.Boolean({ default: true, description: 'Whether each request gets a line.' })
    },
    { additionalProperties: false, default: {}, description: 'What is written to standard output.' }
  ),

  setup(app, { access }) {
    if (!access) return undefined
    const { writer, format } = app.accessLog
    app.finishers.push((request, status) => {
      const { exchange } = request
      // The query stays out: it is where tokens are put by mistake.
      const line = JSON.stringify({
        time: new Date().toISOString(),
        level: 'info',
        msg: 'request',
        requestId: request.id,
        client: exchange.client,
        method: request.method,
        host: exchange.host,
        path: exchange.path,
        status,
        duration: round(performance.now() - exchange.startedAt),
        route: exchange.route?.id,
        service: exchange.detour?.service ?? exchange.route?.service,
        side: exchange.detour?.side,
        fallback: exchange.detour?.fallback,
        node: exchange.node,
        upstream: exchange.upstreamTime === undefined ? undefined : round(exchange.upstreamTime),
        subject: exchange.principal?.subject,
        session: exchange.principal?.session,
        key: exchange.principal?.key,
        verdict: exchange.verdict,
        reason: exchange.reason
      })
      writer.write(format === 'json' ? line : textLine(line))
    })
    return undefined
  }
})

const round = (milliseconds: number): number => Math.round(milliseconds * 100) / 100
