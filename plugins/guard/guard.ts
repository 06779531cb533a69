import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Banned } from '../../errors.ts'
import { addressSet } from '../../services/bans/address-set.ts'
import type { Cause } from '../../services/bans/ban.ts'
import { banPolicy, openBans } from '../../services/bans/open.ts'
import { banSchema, networks, routeClients } from '../../services/bans/slice.ts'
import { definePlugin } from '../plugin.ts'
import { clientOf, plainAddress, trustList } from './client-address.ts'
import { clientsStep } from './clients-step.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Has a client banned that has shown itself abnormal; never throws, and leaves alone whom `guard.allow` names. */
    readonly punish: (address: string, cause: Cause) => void
  }
}

/** Settles whose request it is, the peer's address or what a trusted proxy says of it, and turns away whoever is shut out. */
export const guard = definePlugin({
  key: 'guard',

  slice: Type.Object(
    {
      trustedProxies: networks(
        'Peers whose X-Forwarded-For, -Proto and -Host are believed. X-Forwarded-For is walked from the right, past trusted hops only.'
      ),
      allow: networks(
        'Clients that are never banned, nor denied by `deny`: your own monitors, offices, health checks.'
      ),
      deny: networks('Clients that are turned away, everywhere.'),
      ban: banSchema
    },
    { additionalProperties: false, default: {}, description: 'Who is asking, and who may not.' }
  ),

  route: Type.Object({ clients: Type.Optional(routeClients) }),

  async setup(app, { trustedProxies, allow, deny, ban }, services) {
    const trusts = trustList(trustedProxies)
    const bans = await openBans(services, app.log)
    const policy = banPolicy(allow, ban)
    const { exempt } = policy
    const denied = addressSet(deny)
    app.decorate('punish', (address: string, cause: Cause) => bans.punish(address, cause, policy))

    /** Why this client is shut out, and for how many seconds; undefined for who may ask. */
    const refusalFor = (client: string): { reason: string; seconds?: number } | undefined => {
      if (!denied.isEmpty && denied.find(client) === true && exempt.find(client) === undefined) {
        return { reason: 'denied' }
      }
      const placed = bans.find(client)
      if (placed === undefined || exempt.find(client) !== undefined) return undefined
      if (ban.dryRun && placed.by === 'automatic') return undefined
      return { reason: 'banned', seconds: Math.max(1, Math.ceil((placed.until - Date.now()) / 1000)) }
    }

    app.addHook('onRequest', (request, reply, done) => {
      const peer = plainAddress(request.raw.socket.remoteAddress ?? '')
      const { exchange } = request
      exchange.client = peer
      if (trusts?.(peer)) {
        exchange.trusted = true
        exchange.client = clientOf(request.headers['x-forwarded-for'], peer, trusts)
      }
      const refusal = refusalFor(exchange.client)
      if (refusal === undefined) done()
      else if (ban.action === 'drop') drop(request, reply, refusal.reason)
      else done(turnAway(refusal) as Error)
    })
    return ({ clients }) => (clients === undefined ? undefined : clientsStep(clients))
  }
})

function turnAway({ reason, seconds }: { reason: string; seconds?: number }) {
  return Banned([], {
    reason,
    headers: { connection: 'close', ...(seconds !== undefined && { 'retry-after': String(seconds) }) }
  })
}

/** Closes the connection without a word; the exchange ends with it. */
function drop({ exchange, raw }: FastifyRequest, reply: FastifyReply, reason: string): void {
  exchange.verdict = 'BANNED'
  exchange.reason = reason
  reply.hijack()
  raw.socket.destroy()
}
