import type { FastifyReply, FastifyRequest } from 'fastify'
import { toMilliseconds } from '../../config/units.ts'
import { LimitUnavailable, type Problem, RateLimited } from '../../errors.ts'
import { flat } from '../../services/flat.ts'
import type { Verdict } from '../../services/limits/bucket.ts'
import type { Numbers } from '../../services/limits/limit.ts'
import { defaultWindow, type LimitOptions } from '../../services/limits/slice.ts'

/** One limit as clients see it, made once for its numbers. */
export interface ShownLimit {
  readonly name: string
  /** How much it lets through, in words. */
  readonly words: string
  /** Internal reason of its refusals. */
  readonly reason: string
  /** The name as a structured-field string (RFC 9651 3.3.3). */
  readonly quoted: string
  /** Its member of RateLimit-Policy. */
  readonly policy: string
  /** What RateLimit said of it last. */
  readonly last: { remaining: number; reset: number; field: string }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The tightest limit this request was counted against so far. */
    tightest: Verdict | undefined
  }
}

export function show(
  name: string,
  reason: string,
  { options }: Numbers,
  { cost, costHeader }: Pick<LimitOptions, 'cost' | 'costHeader'>
): ShownLimit {
  // Printable ASCII is all that a structured-field string may hold.
  const quoted = `"${name.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`
  const unit = cost === 1 && costHeader === undefined ? 'requests' : 'units'
  const inWords = (words: string, terms: string): ShownLimit => {
    const policy = flat(`${quoted};${terms}`)
    return { name, reason, quoted, words, policy, last: { remaining: -1, reset: -1, field: '' } }
  }
  const { qps, quota, window = defaultWindow, concurrency } = options
  if (concurrency !== undefined) {
    return inWords(`${concurrency} requests at the same time`, `q=${concurrency};qu="concurrent-requests"`)
  }
  if (quota !== undefined) {
    const seconds = Math.ceil(toMilliseconds(window) / 1000)
    return inWords(`${quota} ${unit} in ${window}`, `q=${quota};w=${seconds}`)
  }
  const whole = wholeQuota(qps!)
  return inWords(`${qps} ${unit} a second`, `q=${whole.quota};w=${whole.seconds}`)
}

/**
 * Tells the client where it stands, on every answer a limit was asked about (draft-ietf-httpapi-ratelimit-headers).
 *
 * RateLimit-Policy lists every limit that applied; RateLimit is about the tightest: `r` units are left right now, and after `t`
 * seconds without any request everything is there again. They are set on the reply before anything is sent upstream, because the
 * answer's own headers may be written by another engine.
 */
export function fieldsOf(
  shown: ShownLimit,
  verdict: Verdict,
  request: FastifyRequest,
  reply: FastifyReply
): void {
  policyOf(shown, reply)
  const { tightest } = request
  if (tightest === undefined || verdict.remaining < tightest.remaining || !verdict.allowed) {
    request.tightest = verdict
    reply.header('ratelimit', fieldOf(shown, verdict.remaining, seconds(verdict.resetMs)))
  }
}

/** Clients far from a limit are mostly told the same: what was written last is kept, so that nobody writes and reads it anew. */
function fieldOf({ quoted, last }: ShownLimit, remaining: number, reset: number): string {
  if (last.remaining !== remaining || last.reset !== reset) {
    last.remaining = remaining
    last.reset = reset
    last.field = `${quoted};r=${remaining};t=${reset}`
  }
  return last.field
}

/** Tells that a limit applied, where nothing is known of how much is left. */
export function policyOf({ policy }: ShownLimit, reply: FastifyReply): void {
  const policies = reply.getHeader('ratelimit-policy')
  reply.header('ratelimit-policy', policies === undefined ? policy : `${policies}, ${policy}`)
}

/** The refusal while the store is away, where a limit is closed then. */
export const limitUnavailable = (): Problem =>
  LimitUnavailable([], { reason: 'limit_store', headers: { 'retry-after': '1' } })

/** The refusal of a request that is one too many. */
export function refuse({ words, name, reason }: ShownLimit, { retryAfterMs }: Verdict): Problem {
  const after = String(Math.max(1, seconds(retryAfterMs)))
  return RateLimited([words, name, after], { reason, headers: { 'retry-after': after } })
}

const seconds = (ms: number): number => Math.ceil(ms / 1000)

/** `q` and `w` are integers: half a request a second is one in two seconds. */
function wholeQuota(qps: number): { quota: number; seconds: number } {
  for (let seconds = 1; seconds < 1000; seconds += 1) {
    const quota = Math.round(qps * seconds)
    if (quota > 0 && Math.abs(quota - qps * seconds) < 1e-6) return { quota, seconds }
  }
  return { quota: Math.max(1, Math.round(qps * 1000)), seconds: 1000 }
}
