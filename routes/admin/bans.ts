import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { Duration, toMilliseconds } from '../../config/units.ts'
import { BadRequest, NotFound } from '../../errors.ts'
import type { AuditTrail } from '../../services/audit/trail.ts'
import { type Network, parseNetwork } from '../../services/bans/address-set.ts'
import type { Ban } from '../../services/bans/ban.ts'
import { type BanPolicy, type Bans, networkFor } from '../../services/bans/bans.ts'
import { call } from './call.ts'
import { paged, pageOf } from './page.ts'

interface Named {
  /** The network; a range with its slash. */
  readonly Params: { readonly '*': string }
  readonly Querystring: { readonly forget?: string }
}

/** Ranges wider than these are a slip of the finger rather than a decision. */
const widest = { 4: 8, 6: 19 } as const

const Wish = Type.Object(
  {
    ip: Type.Optional(Type.String({ description: 'An address; this or `cidr`.' })),
    cidr: Type.Optional(Type.String({ description: 'A range; this or `ip`.' })),
    reason: Type.Optional(Type.String({ description: 'Why.', minLength: 1, maxLength: 200 })),
    ttl: Type.Optional(Type.String({ description: 'For how long, such as 1h.' }))
  },
  { additionalProperties: false }
)

/** Milliseconds: a ban for longer belongs into `guard.deny`. */
const longest = 366 * 24 * 60 * 60 * 1000

/** Who is shut out: list, shut out, let in again, and who did so when. */
export function registerBans(admin: FastifyInstance, bans: Bans, policy: BanPolicy, audit: AuditTrail): void {
  admin.get<{ Querystring: Record<string, unknown> }>(
    '/admin/bans',
    call('List who is shut out.', paged),
    async ({ query }) => {
      const { limit, offset } = pageOf(query)
      const all = bans.list()
      return { total: all.length, bans: all.slice(offset, offset + limit).map(shown) }
    }
  )

  admin.get<{ Querystring: Record<string, unknown> }>(
    '/admin/bans/events',
    call('List who was banned and let in again, by whom and when.', { query: { limit: paged.query.limit } }),
    async ({ query }) => ({
      events: await audit.list(pageOf(query).limit, { what: 'ban.' })
    })
  )

  admin.post(
    '/admin/bans',
    call('Shut an address or a range out.', { what: 'ban.add', body: Wish }),
    async (request, reply) => {
      const { network, reason, ttl } = wishFrom(request.body)
      const first = network.text.split('/')[0]!
      if (policy.exempt.find(first) !== undefined) {
        throw refuse(`${network.text} is in guard.allow, which is never banned; take it out there first.`)
      }
      const by = request.exchange.principal?.subject ?? '-'
      const ban = await bans.add({ network: network.text, reason, ttl, by }, policy)
      request.told = { to: network.text, detail: { reason, until: iso(ban.until) } }
      return reply.code(201).header('location', `/admin/bans/${ban.network}`).send(shown(ban))
    }
  )

  admin.get<Named>('/admin/bans/*', call('Show the ban that an address is under.'), async ({ params }) => {
    const ban = bans.find(textOf(params['*']).split('/')[0]!)
    if (ban === undefined) throw NotFound(['ban of', params['*'].slice(0, 64)], { reason: 'ban' })
    return shown(ban)
  })

  admin.delete<Named>(
    '/admin/bans/*',
    call('Let an address or a range in again.', {
      what: 'ban.remove',
      query: { forget: 'Whether its next ban is a first one.' }
    }),
    async (request, reply) => {
      const text = textOf(request.params['*'])
      const forgets = request.query.forget !== undefined && request.query.forget !== 'false'
      request.told = { to: text, detail: forgets ? { forget: true } : {} }
      if (!(await bans.remove(text, forgets))) throw NotFound(['ban of', text], { reason: 'ban' })
      return reply.code(204).send()
    }
  )
}

const iso = (at: number): string => new Date(at).toISOString()

const shown = ({ since, until, ...ban }: Ban) => ({ ...ban, since: iso(since), until: iso(until) })

/** An address stands for what is banned with it. */
function textOf(written: string): string {
  const network = parseNetwork(written)
  if (network === undefined) throw refuse(`"${written.slice(0, 64)}" is not an address or a CIDR range.`)
  return networkOf(written, network)
}

const networkOf = (written: string, network: Network): string =>
  written.includes('/') ? network.text : networkFor(network.text)!

function wishFrom(body: unknown): { network: Network; reason: string; ttl: number } {
  const example = '{"ip": "192.0.2.7", "reason": "scans", "ttl": "1h"}'
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw refuse(`Send a JSON object such as ${example}.`)
  }
  const { ip, cidr, reason = 'by hand', ttl = '1h', ...others } = body as Record<string, unknown>
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw refuse(`"${unknown.slice(0, 50)}" is not known here; send ${example}.`)
  if ((ip === undefined) === (cidr === undefined)) throw refuse('Send either "ip" or "cidr".')
  const written = ip ?? cidr
  const parsed = typeof written === 'string' ? parseNetwork(written) : undefined
  if (parsed === undefined || (ip !== undefined && String(ip).includes('/'))) {
    throw refuse(ip === undefined ? '"cidr" is not a range such as 192.0.2.0/24.' : '"ip" is not an address.')
  }
  const network = parseNetwork(networkOf(String(written), parsed))!
  if (network.bits < widest[network.family]) {
    throw refuse(`${network.text} is wider than a /${widest[network.family]}; ban smaller ranges.`)
  }
  if (typeof reason !== 'string' || !/^[\x20-\x7e]{1,200}$/.test(reason)) {
    throw refuse('"reason" is a text of 1 to 200 printable characters.')
  }
  if (typeof ttl !== 'string' || !new RegExp(Duration({ description: 'ttl' }).pattern!).test(ttl)) {
    throw refuse('"ttl" is a duration such as 30s, 10m, 1h or 7d.')
  }
  const ms = toMilliseconds(ttl)
  if (ms < 1000 || ms > longest) throw refuse('"ttl" is from 1s to 366d.')
  return { network, reason, ttl: ms }
}

const refuse = (sentence: string) => BadRequest([sentence], { reason: 'body_field' })
