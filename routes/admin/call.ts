import type { TSchema } from '@sinclair/typebox'
import type { FastifyRequest } from 'fastify'

/** What one may do on the admin listener: look at everything, or change things as well. */
export type Role = 'read' | 'operate'

/** What is known of one call of the admin API besides its method and path. */
export interface Call {
  /** One sentence for the OpenAPI document. */
  readonly summary: string
  /** `read` for a POST that only looks; left out, the method decides. */
  readonly role?: Role
  /** How the audit trail names it, such as `session.kick`; left out: method and path. */
  readonly what?: string
  readonly body?: TSchema
  /** Query parameters, each with what it says. */
  readonly query?: Readonly<Record<string, string>>
  /** Media types of the body, where it is not JSON only. */
  readonly takes?: readonly string[]
  /** Whether it reads If-Match, or will not go without. */
  readonly ifMatch?: 'optional' | 'required'
}

/** What the audit trail tells of one call beyond what its path says: never a secret. */
export interface Told {
  readonly to?: string
  readonly detail?: Readonly<Record<string, unknown>>
}

declare module 'fastify' {
  interface FastifyContextConfig {
    call?: Call
  }
  interface FastifyRequest {
    /** Set by a handler that has more to tell the audit trail than its path. */
    told: Told | undefined
  }
}

/** The options of a route of the admin API. */
export const call = (summary: string, more: Omit<Call, 'summary'> = {}) => ({
  config: { call: { summary, ...more } }
})

/** What a request needs, decided here and nowhere else: whatever does not say that it only looks takes an operator. */
export const roleNeeded = ({ method, routeOptions: { config } }: FastifyRequest): Role =>
  roleOfCall(method, config.call)

export const roleOfCall = (method: string, { role }: Partial<Call> = {}): Role =>
  role ?? (method === 'GET' || method === 'HEAD' ? 'read' : 'operate')
