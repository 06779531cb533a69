import type { FastifyReply, FastifyRequest } from 'fastify'
import { toMilliseconds } from '../../config/units.ts'
import type { Verdict } from '../../services/limits/bucket.ts'
import type { Limit, Numbers } from '../../services/limits/limit.ts'
import type { Limits, Said } from '../../services/limits/limits.ts'
import type { Ahead, Note, PlacedLimit, Step } from '../plugin.ts'
import type { KeyOf } from '../request-key.ts'
import { fieldsOf, refuse, type ShownLimit, show } from './fields.ts'

export type ExplainedStep = Step & { readonly explain: NonNullable<Step['explain']> }

/** What one limit of a route is counted by, and how it is called. */
export interface Placed extends PlacedLimit {
  /** Internal reason of its refusals. */
  readonly reason: string
  readonly keyOf: KeyOf
}

/** The step that counts a request against one rate or quota, and refuses it or holds it back when it is one too many. */
export function countingStep(limits: Limits, placed: Placed): ExplainedStep {
  const { limit, keyOf } = placed
  const { mode, maxWait, maxQueue, shadow, costHeader } = limit.options
  const shownOf = showing(placed)
  const tierOf = tierReader(limit)
  const longest = toMilliseconds(maxWait)
  const full: Verdict = { allowed: false, remaining: 0, retryAfterMs: longest, resetMs: longest, waitMs: 0 }

  const settle = (numbers: Numbers, said: Said, request: FastifyRequest, reply: FastifyReply) => {
    if (said === undefined) return undefined
    if (shadow) {
      if (!said.allowed) noteShadow(limit, placed.name, request)
      return undefined
    }
    const shown = shownOf(numbers)
    fieldsOf(shown, said, request, reply)
    if (!said.allowed) throw refuse(shown, said)
    return said.waitMs === 0 ? undefined : hold(limit, said.waitMs)
  }

  const count: Step = (request, reply) => {
    const numbers = limit.numbers(tierOf(request))
    const key = keyOf(request)
    if (costHeader !== undefined) chargeLater(limits, limit, numbers, key, request)
    if (mode === 'wait' && limit.figures.waiting >= maxQueue && !shadow) {
      limit.figures.refused.local += 1
      return settle(numbers, full, request, reply)
    }
    const { counted, principal } = request.exchange
    const said = counted?.limit === limit ? counted.said : limits.take(limit, numbers, key, principal?.notes)
    // Nothing to wait for, no promise.
    return said instanceof Promise
      ? said.then((later) => settle(numbers, later, request, reply))
      : settle(numbers, said, request, reply)
  }
  const ahead: Ahead = (request, principal, gate) => {
    const { exchange } = request
    // Whose count it is depends on who asks; whether they may pass is not known before the store has answered.
    exchange.principal = principal
    const behind = { key: keyOf(request), gate, notes: principal.notes }
    const asked = limits.takeBehind(limit, limit.numbers(tierOf(request)), behind, (said) => {
      if (said === 'gone') return false
      if (said === undefined) return undefined
      exchange.counted = { limit, said }
      return true
    })
    exchange.principal = undefined
    return asked
  }
  return Object.assign(count, {
    // Who may have to wait is counted when there is a place in the queue.
    ...(mode === 'reject' && { ahead }),
    explain(request: FastifyRequest, tell: Note): 'not asked' {
      tell(facts(limits, placed, limit.numbers(tierOf(request)), request))
      // To look would be to count.
      return 'not asked'
    }
  })
}

/** What `explain` tells of a limit. */
export function facts(
  { standby }: Limits,
  { limit, name, by, keyOf }: Placed,
  { options }: Numbers,
  request: FastifyRequest
): Readonly<Record<string, unknown>> {
  const { scope, onStoreError, mode, maxWait, shadow } = limit.options
  return {
    limit: name,
    id: limit.id,
    ...options,
    by,
    scope,
    ...(mode === 'wait' && { mode, maxWait }),
    ...(shadow && { shadow }),
    ...(standby.isAway && scope !== 'local' && { store: 'away', onStoreError }),
    // What a header holds may be secret.
    ...(!by.includes('header:') && { counts: keyOf(request) })
  }
}

/** Takes one step after the other; a promise only where one of them needs it. */
export function inOrder(steps: readonly ExplainedStep[]): ExplainedStep | undefined {
  if (steps.length < 2) return steps[0]
  const from = (index: number, request: FastifyRequest, reply: FastifyReply): void | Promise<void> => {
    for (let at = index; at < steps.length; at += 1) {
      const waiting = steps[at]!(request, reply)
      if (waiting instanceof Promise) return waiting.then(() => from(at + 1, request, reply))
    }
  }
  const step: Step = (request, reply) => from(0, request, reply)
  const { ahead } = steps[0]!
  return Object.assign(step, {
    ...(ahead !== undefined && { ahead }),
    async explain(request: FastifyRequest, tell: Note): Promise<'not asked'> {
      const all: Readonly<Record<string, unknown>>[] = []
      for (const { explain } of steps) await explain(request, (facts) => all.push(facts))
      tell({ limits: all })
      return 'not asked'
    }
  })
}

/** How a limit is shown to clients, by its numbers. */
export function showing({ name, reason, limit }: Placed): (numbers: Numbers) => ShownLimit {
  const known = new WeakMap<Numbers, ShownLimit>()
  let last: Numbers | undefined
  let shown: ShownLimit | undefined
  return (numbers) => {
    if (numbers === last) return shown!
    last = numbers
    shown = known.get(numbers) ?? show(name, reason, numbers, limit.options)
    known.set(numbers, shown)
    return shown
  }
}

/** Which tier a request is of. */
export function tierReader({ options: { tiers } }: Limit): (request: FastifyRequest) => string | undefined {
  if (tiers === undefined) return () => undefined
  const { claim } = tiers
  return ({ exchange }) => {
    const value = exchange.principal?.claims[claim]
    return typeof value === 'string' ? value : undefined
  }
}

/** A limit in the shadow says nothing to the client. */
export function noteShadow({ figures }: Limit, name: string, { exchange }: FastifyRequest): void {
  figures.shadowed += 1
  exchange.shadow = exchange.shadow === undefined ? name : `${exchange.shadow}, ${name}`
}

function hold(limit: Limit, ms: number): Promise<void> {
  limit.figures.waiting += 1
  return new Promise((resolve) => {
    setTimeout(() => {
      limit.figures.waiting -= 1
      resolve()
    }, ms)
  })
}

const most = 1_000_000

/** Counts what the service says of a request's cost, once its answer begins. */
function chargeLater(
  limits: Limits,
  limit: Limit,
  numbers: Numbers,
  key: string,
  { exchange }: FastifyRequest
): void {
  const { costHeader, cost } = limit.options
  const name = costHeader!.toLowerCase()
  const others = exchange.onAnswer
  exchange.onAnswer = (headers) => {
    others?.(headers)
    for (let index = 0; index < headers.length; index += 2) {
      if (headers[index]!.toLowerCase() !== name) continue
      const said = headers[index + 1]!
      if (!/^\d{1,9}$/.test(said)) continue
      const more = Math.min(Number(said), most) - cost
      if (more > 0) limits.charge(limit, numbers, key, more)
      return
    }
  }
}
