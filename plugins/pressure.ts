import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Duration, toMilliseconds } from '../config/units.ts'
import { Overloaded, type Problem } from '../errors.ts'
import { pressureOf } from '../services/pressure/pressure.ts'
import { Spell } from '../services/telemetry/spell.ts'
import { definePlugin, type Note } from './plugin.ts'

const inFlight = { minimum: 1, maximum: 10_000_000 }

/**
 * Refuses requests while the process has more to do than it can: early, before they cost anything, so that those under way are done
 * in time. It is no limit per client.
 */
export const pressure = definePlugin({
  key: 'pressure',

  slice: Type.Object(
    {
      maxInFlight: Type.Integer({
        ...inFlight,
        default: 10_000,
        description:
          'Most requests under way at once in a process, event streams among them; one more gets 503. WebSockets count until they are open.'
      }),
      maxDelay: Duration({
        default: '1s',
        description:
          'How late the event loop may be on the average of half a second; requests get 503 while it is later. 0s for no bound.'
      }),
      stall: Duration({
        default: '1s',
        description:
          'How long the event loop may stand still at a time before that is counted and logged as a warning; nothing is refused for it. 0s for no bound.'
      }),
      maxHeap: Type.Integer({
        default: 95,
        minimum: 1,
        maximum: 100,
        description:
          'How much of the heap that Node may use can be in use, in percent; requests get 503 while it is more. 100 for no bound.'
      })
    },
    {
      additionalProperties: false,
      default: {},
      description:
        'When the gateway is too busy to take another request. Each process judges for itself; the admin listener is not held to it.'
    }
  ),

  route: Type.Object({
    maxInFlight: Type.Optional(
      Type.Integer({
        ...inFlight,
        description: 'Most requests under way on the route at once, in each process; one more gets 503.'
      })
    )
  }),

  setup(app, { maxInFlight, maxDelay, stall, maxHeap }, services) {
    const pressure = pressureOf(services)
    const { underWay } = pressure
    const longest = toMilliseconds(maxDelay) || Number.POSITIVE_INFINITY
    const longestStall = toMilliseconds(stall) || Number.POSITIVE_INFINITY
    const refusals = new Spell({
      began: (count, reason) => app.log.warn({ reason, count }, 'too busy, requests are refused'),
      ended: (count) => app.log.info({ count }, 'no longer too busy')
    })
    const judge = (): string | undefined => {
      if (pressure.delay > longest) return 'pressure_delay'
      return maxHeap < 100 && pressure.heap > maxHeap ? 'pressure_heap' : undefined
    }
    let verdict = judge()
    const leave = pressure.follow(() => {
      verdict = judge()
      refusals.look()
      const stalled = pressure.takeStall(longestStall)
      if (stalled !== undefined)
        app.log.warn({ milliseconds: Math.round(stalled) }, 'the event loop stood still')
    })
    app.addHook('onClose', async () => void leave())
    const refuse = (reason: string): Problem => {
      refusals.note(reason)
      return overloaded(reason)
    }
    app.addHook('onRequest', (_request, _reply, done) => {
      if (verdict !== undefined) done(refuse(verdict) as Error)
      // This one is counted already.
      else if (underWay.count > maxInFlight) done(refuse('pressure_in_flight') as Error)
      else done()
    })
    return ({ id, maxInFlight: most }) => {
      if (most === undefined) return undefined
      const own = pressure.route(id)
      const step = (_request: FastifyRequest, { raw }: FastifyReply): void => {
        if (own.count >= most) throw refuse('route_in_flight')
        // Whoever has left would never be counted out.
        if (raw.destroyed) return
        own.enter()
        raw.once('close', own.leave)
      }
      return Object.assign(step, {
        explain(_request: FastifyRequest, note: Note): void {
          note({ inFlight: own.count, maxInFlight: most })
          if (own.count >= most) throw overloaded('route_in_flight')
        }
      })
    }
  }
})

const overloaded = (reason: string): Problem => Overloaded([], { reason, headers: { 'retry-after': '1' } })
