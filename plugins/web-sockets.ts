import type { IncomingMessage } from 'node:http'
import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Duration, toWait } from '../config/units.ts'
import { TooManyWebSockets } from '../errors.ts'
import { Places } from '../services/limits/places.ts'
import { keyPart, networkOf } from '../services/limits/subject.ts'
import { definePlugin, type Exchange, type Note, type RouteInfo } from './plugin.ts'

const kUpgrade = Symbol('upgrade')
type Marked = IncomingMessage & { [kUpgrade]?: true }

/** Says that a request will become a WebSocket when it passes: its headers may also say so on a connection that cannot. */
export function markUpgrade(raw: IncomingMessage): void {
  ;(raw as Marked)[kUpgrade] = true
}

const options = Type.Object(
  {
    perUser: Type.Optional(
      Type.Integer({
        description:
          'Most WebSockets that one user may have open on the route, or one address where nobody is signed in; one more is answered with 429. Any number, when left out. Each process of the gateway counts its own.',
        minimum: 1,
        maximum: 1_000_000
      })
    ),
    idle: Type.Optional(
      Duration({
        description:
          'Longest silence of both sides before the WebSocket is closed with 1001; the idle timeout of the route or the service when left out. 0s means for ever.'
      })
    )
  },
  { additionalProperties: false, description: 'What WebSockets of the route are held to.' }
)

/** Bounds how many WebSockets a user has open, from the handshake to the last byte, and how long they may be silent. */
export const webSockets = definePlugin({
  key: 'web-sockets',
  route: Type.Object({ webSockets: Type.Optional(options) }),

  setup(_app, _options, services) {
    // Asked for by every config, so that no reload forgets who holds what.
    const places = services.shared('web-socket-places', () => new Places())
    return (route) => {
      const { webSockets: { perUser = Number.POSITIVE_INFINITY, idle } = {}, id } = route
      const silence = idle === undefined ? undefined : toWait(idle)
      if (perUser === Number.POSITIVE_INFINITY && silence === undefined) return undefined
      const step = ({ raw, exchange }: FastifyRequest, reply: FastifyReply): void => {
        // Whoever has left would never give the place back.
        if ((raw as Marked)[kUpgrade] === undefined || reply.raw.destroyed) return
        const place = places.take(holderOf(exchange, route), perUser)
        if (place === undefined) throw refuse(perUser, id)
        exchange.webSocket = { idle: silence, place }
        reply.raw.once('close', () => giveBack(exchange))
      }
      return Object.assign(step, {
        explain({ raw, exchange }: FastifyRequest, note: Note): void {
          if (raw.headers.upgrade?.toLowerCase() !== 'websocket') return
          const holder = holderOf(exchange, route)
          const open = places.count(holder)
          note({ open, ...(perUser !== Number.POSITIVE_INFINITY && { perUser }), ...(idle && { idle }) })
          if (open >= perUser) throw refuse(perUser, id)
        }
      })
    }
  }
})

const refuse = (perUser: number, route: string) =>
  TooManyWebSockets([perUser, route], { reason: 'web_sockets', headers: { 'retry-after': '1' } })

const holderOf = ({ principal, client }: Exchange, { id }: RouteInfo): string =>
  principal === undefined ? `${id}:ip:${networkOf(client)}` : `${id}:sub${keyPart(principal.subject)}`

/** The place of an upgrade that came to nothing; one that came to something has moved on to its tunnel. */
function giveBack(exchange: Exchange): void {
  exchange.webSocket?.place.release()
  exchange.webSocket = undefined
}
