import type { FastifyReply, FastifyRequest } from 'fastify'
import { RateLimited } from '../../errors.ts'
import type { Verdict } from '../../services/limits/bucket.ts'

/** One limit as clients see it, made when the config is loaded. */
export interface ShownLimit {
  readonly name: string
  readonly qps: number
  /** Internal reason of its refusals. */
  readonly reason: string
  /** The name as a structured-field string (RFC 9651 3.3.3). */
  readonly quoted: string
  /** Its member of RateLimit-Policy. */
  readonly policy: string
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The tightest limit this request was counted against so far. */
    tightest: Verdict | undefined
  }
}

export function showLimit(name: string, qps: number, reason: string): ShownLimit {
  // Printable ASCII is all that a structured-field string may hold.
  const quoted = `"${name.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`
  const { quota, seconds } = wholeQuota(qps)
  return { name, qps, reason, quoted, policy: `${quoted};q=${quota};w=${seconds}` }
}

/**
 * Tells the client where it stands, on every answer a limit was asked about, and refuses the request when it is one too many.
 *
 * RateLimit-Policy lists every limit that applied; RateLimit is about the tightest: `r` requests go through right now, and after `t`
 * seconds without any the whole slack is there again. They are set on the reply before anything is sent upstream, because the answer's
 * own headers may be written by another engine.
 */
export function settle(
  shown: ShownLimit,
  verdict: Verdict,
  request: FastifyRequest,
  reply: FastifyReply
): void {
  const policies = reply.getHeader('ratelimit-policy')
  reply.header('ratelimit-policy', policies === undefined ? shown.policy : `${policies}, ${shown.policy}`)
  const { tightest } = request
  if (tightest === undefined || verdict.remaining < tightest.remaining || !verdict.allowed) {
    request.tightest = verdict
    reply.header('ratelimit', `${shown.quoted};r=${verdict.remaining};t=${seconds(verdict.resetMs)}`)
  }
  if (verdict.allowed) return
  const after = Math.max(1, seconds(verdict.retryAfterMs))
  throw RateLimited([shown.qps, shown.name, after], {
    reason: shown.reason,
    headers: { 'retry-after': String(after) }
  })
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
