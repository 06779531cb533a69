import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { candidatesOf } from './table/candidates.ts'
import type { Table } from './table/compile.ts'

/** With an admin token it asks what became of a request; in the answer it says so. It never reaches a service. */
const debugHeader = 'x-toll-debug'

/** Most bytes of an answer's header: clients and proxies bear no large ones. */
const longest = 4096

/** Answers whoever holds one of these tokens with what was decided about their request; anybody else's is as if it had not asked. */
export function answerDebug(app: FastifyInstance, table: Table, tokens: readonly string[]): void {
  const expected = tokens.map(digest)
  app.addHook('onRequest', (request, reply, done) => {
    const given = request.raw.headers[debugHeader]
    if (given === undefined) {
      done()
      return
    }
    const digested = digest(String(given))
    // All are compared, whatever the first says: how long it takes tells nothing.
    if (expected.filter((one) => timingSafeEqual(one, digested)).length > 0) {
      const { exchange } = request
      exchange.onDebug = () => void reply.header(debugHeader, toldOf(request, table))
      exchange.onAnswer = exchange.onDebug
    }
    done()
  })
}

/** As JSON in ASCII. Names and figures only: no credential, and no address but the client's own. */
function toldOf({ exchange, raw }: FastifyRequest, table: Table): string {
  const { route, detour, node, client, verdict, reason, upstreamTime, startedAt } = exchange
  const facts = {
    verdict,
    ...(reason !== undefined && { reason }),
    client,
    path: exchange.path,
    ...(route !== undefined && { route: route.id, service: detour?.service ?? route.service }),
    ...(detour !== undefined && { side: detour.side, fallback: detour.fallback }),
    ...(node !== undefined && { node }),
    ...(exchange.shadow !== undefined && { shadow: exchange.shadow }),
    ...(upstreamTime !== undefined && { upstream: rounded(upstreamTime) }),
    duration: rounded(performance.now() - startedAt)
  }
  const whole = ascii({ ...facts, candidates: candidatesOf(raw, exchange, table) })
  return whole.length <= longest ? whole : ascii(facts).slice(0, longest)
}

const ascii = (facts: object): string =>
  JSON.stringify(facts).replace(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  )

const rounded = (milliseconds: number): number => Math.round(milliseconds * 100) / 100

/** Equal lengths for timingSafeEqual, whatever was sent. */
const digest = (token: string): Buffer => createHash('sha256').update(token).digest()
