import { Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Banned, type Problem } from '../../errors.ts'
import { addressSet } from '../../services/bans/address-set.ts'
import type { Cause } from '../../services/bans/ban.ts'
import { banPolicy, openBans } from '../../services/bans/open.ts'
import { banSchema, networks, routeClients } from '../../services/bans/slice.ts'
import { agentRules, detectSchema, headerRules, pathRules } from '../../services/detect/slice.ts'
import { tunnelsOf } from '../../services/transport/tunnel.ts'
import { definePlugin, type Note, type Step } from '../plugin.ts'
import { clientReader, peerOf, plainAddress, remembering, trustList } from './client-address.ts'
import { clientsStep } from './clients-step.ts'
import { type Rule, rulesOf } from './rules.ts'
import { watch } from './watch.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Has a client banned that has shown itself abnormal; never throws, and leaves alone whom `guard.allow` names. */
    readonly punish: (address: string, cause: Cause) => void
    /** Told of peers that sent what is no request at all. */
    readonly suspect: (address: string) => void
    /** Tells of a request nobody sent whether it would be let in. */
    readonly guarding: NonNullable<Step['explain']>
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
      ban: banSchema,
      headers: headerRules,
      userAgents: agentRules,
      paths: pathRules,
      detect: Type.Optional(detectSchema)
    },
    { additionalProperties: false, default: {}, description: 'Who is asking, and who may not.' }
  ),

  route: Type.Object({ clients: Type.Optional(routeClients) }),

  async setup(app, options, services) {
    const { trustedProxies, allow, deny, ban, detect, userAgents } = options
    const trusts = trustList(trustedProxies)
    const trustsPeer = trusts && remembering(trusts)
    const clientOf = trusts && clientReader(trusts)
    const bans = await openBans(services, app.log)
    // A proxy stands for all clients behind it.
    const policy = banPolicy([...allow, ...trustedProxies], ban)
    const { exempt } = policy
    const denied = addressSet(deny)
    app.decorate('punish', (address: string, cause: Cause) => bans.punish(address, cause, policy))
    const rules = rulesOf(options)
    const note = detect && watch(app, detect, userAgents, services)
    app.decorate('suspect', (address: string) => note?.(plainAddress(address), 'malformed'))

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

    // A WebSocket asks nothing any more: who is shut out meanwhile has to be shown out.
    const tunnels = tunnelsOf(services)
    const forget = bans.onBanned(() => tunnels.endOf((client) => refusalFor(client) !== undefined))
    app.addHook('onClose', async () => forget())

    const settle = ({ exchange, headers, raw }: FastifyRequest): void => {
      const peer = peerOf(raw.socket)
      exchange.client = peer
      if (!trustsPeer?.(peer)) return
      exchange.trusted = true
      exchange.client = clientOf!(String(headers['x-forwarded-for'] ?? '')) || peer
    }

    app.addHook('onRequest', (request, reply, done) => {
      settle(request)
      const refusal = refusalFor(request.exchange.client)
      if (refusal === undefined) done(mistakeIn(rules, request) as Error | undefined)
      else if (ban.action === 'drop') drop(request, reply, refusal.reason)
      else done(turnAway(refusal) as Error)
    })
    app.decorate('guarding', (request: FastifyRequest, tell: Note) => {
      settle(request)
      const { client, trusted } = request.exchange
      const placed = bans.find(client)
      tell({
        client,
        ...(trusted && { by: 'X-Forwarded-For of a trusted proxy' }),
        ...(exempt.find(client) !== undefined && { exempt: true }),
        ...(placed !== undefined && { banned: placed.network, until: new Date(placed.until).toISOString() }),
        ...(ban.dryRun && { dryRun: true })
      })
      const refusal = refusalFor(client)
      const problem = refusal === undefined ? mistakeIn(rules, request) : turnAway(refusal)
      if (problem !== undefined) throw problem
    })
    return ({ clients }) => (clients === undefined ? undefined : clientsStep(clients))
  }
})

function mistakeIn(rules: readonly Rule[], request: FastifyRequest): Problem | undefined {
  for (const rule of rules) {
    const mistake = rule(request)
    if (mistake !== undefined) return mistake
  }
  return undefined
}

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
  // What it would have been; it is logged so.
  reply.raw.statusCode = 403
  raw.socket.destroy()
}
