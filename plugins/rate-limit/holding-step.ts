import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Verdict } from '../../services/limits/bucket.ts'
import type { Hold, Refused } from '../../services/limits/concurrency/concurrency.ts'
import type { Numbers } from '../../services/limits/limit.ts'
import type { Limits } from '../../services/limits/limits.ts'
import type { Note, Step } from '../plugin.ts'
import { fieldsOf, limitUnavailable, policyOf, refuse } from './fields.ts'
import { type ExplainedStep, facts, noteShadow, type Placed, showing, tierReader } from './step.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Places among the requests under way that this one holds until it is over. */
    holds: Hold[] | undefined
  }
}

/** Nobody knows when somebody else's request ends: a moment is as good a guess as any. */
const refusal: Verdict = { allowed: false, remaining: 0, retryAfterMs: 1000, resetMs: 1000, waitMs: 0 }

/** Gives back what requests hold, however they end. */
export function releaseHolds(app: FastifyInstance): void {
  app.decorateRequest('holds', undefined)
  app.finishers.push(({ holds }) => {
    if (holds !== undefined) for (const hold of holds) hold.release()
  })
}

/**
 * The step that lets only so many requests be under way at the same time. An upgrade is under way until the WebSocket is open; those that
 * are open have a bound of their own (plugins/web-sockets.ts).
 */
export function holdingStep(limits: Limits, placed: Placed): ExplainedStep {
  const { limit, keyOf } = placed
  const { shadow } = limit.options
  const shownOf = showing(placed)
  const tierOf = tierReader(limit)

  const settle = (
    numbers: Numbers,
    decision: Hold | Refused,
    request: FastifyRequest,
    reply: FastifyReply
  ) => {
    if (decision.isHeld) keep(decision, request, reply)
    if (shadow) {
      if (!decision.isHeld) noteShadow(limit, placed.name, request)
      return
    }
    const shown = shownOf(numbers)
    if (decision.isHeld) {
      policyOf(shown, reply)
      return
    }
    if (decision.by === 'closed') throw limitUnavailable()
    fieldsOf(shown, refusal, request, reply)
    throw refuse(shown, refusal)
  }

  const hold: Step = (request, reply) => {
    const numbers = limit.numbers(tierOf(request))
    const decision = limits.hold(limit, numbers, keyOf(request))
    return decision instanceof Promise
      ? decision.then((later) => settle(numbers, later, request, reply))
      : settle(numbers, decision, request, reply)
  }
  return Object.assign(hold, {
    explain(request: FastifyRequest, tell: Note): 'not asked' {
      tell(facts(limits, placed, limit.numbers(tierOf(request)), request))
      return 'not asked'
    }
  })
}

function keep(hold: Hold, request: FastifyRequest, { raw }: FastifyReply): void {
  // Whoever left meanwhile gives nothing back any more.
  if (raw.destroyed) hold.release()
  else if (request.holds === undefined) request.holds = [hold]
  else request.holds.push(hold)
}
