import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AuditTrail } from '../../services/audit/trail.ts'
import { call, roleNeeded } from './call.ts'
import { paged, pageOf } from './page.ts'

/**
 * Notes every call that takes an operator, whoever handles it: who, what, to what, from where, and what became of it. The answer goes
 * out once the note is kept, or waits for the store. Who may not use the admin API at all is in the access log, not here, so that
 * nobody from outside fills the trail.
 */
export function keepAudit(admin: FastifyInstance, trail: AuditTrail): void {
  const noted = new WeakSet<FastifyRequest>()
  admin.decorateRequest('told')
  admin.addHook('onSend', async (request, { statusCode: status }) => {
    const { exchange, told, routeOptions, params, id: requestId } = request
    const { principal, client: from } = exchange
    if (principal === undefined || request.is404 || roleNeeded(request) === 'read' || noted.has(request))
      return
    noted.add(request)
    const what = routeOptions.config.call?.what ?? `${request.method} ${routeOptions.url}`
    const to = told?.to ?? nameOf(params)
    const deed = { at: new Date().toISOString(), by: principal.subject, from, what, to, status, requestId }
    request.log.info({ ...deed, ...(told?.detail && { detail: told.detail }) }, 'admin call')
    await trail.note({ ...deed, ...(told?.detail && { detail: told.detail }) })
  })
}

/** Who did what, for whoever asks. */
export function registerAudit(admin: FastifyInstance, trail: AuditTrail): void {
  admin.get<{ Querystring: Record<string, unknown> }>(
    '/admin/audit',
    call('List what operators and the gateway itself have done, the newest first.', {
      query: {
        limit: paged.query.limit,
        what: 'Only deeds that begin so, such as ban. or session.kick.',
        by: 'Only those of this subject.'
      }
    }),
    async ({ query }) => ({
      events: await trail.list(pageOf(query).limit, { ...textIn(query, 'what'), ...textIn(query, 'by') }),
      pending: trail.pending
    })
  )
}

const textIn = (query: Readonly<Record<string, unknown>>, name: 'what' | 'by') => {
  const value = query[name]
  return typeof value === 'string' ? { [name]: value } : {}
}

/** What a path names, in its order: "orders/orders-1a2b3c4d". */
const nameOf = (params: unknown): string =>
  Object.values((params ?? {}) as Readonly<Record<string, string>>)
    .join('/')
    .slice(0, 200)
