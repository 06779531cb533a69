import type { FastifyInstance, FastifyRequest } from 'fastify'
import { toMilliseconds } from '../../config/units.ts'
import { networkFor } from '../../services/bans/bans.ts'
import { isAttempt, isInjected, isTool, markOf } from '../../services/detect/marks.ts'
import { Patterns } from '../../services/detect/patterns.ts'
import { Scores } from '../../services/detect/score.ts'
import { type Signal, signalFiguresOf } from '../../services/detect/signals.ts'
import type { AgentRules, DetectOptions } from '../../services/detect/slice.ts'
import type { Services } from '../../services/services.ts'

/** User agents remembered, at most: clients send the same few over and over. */
const remembered = 5000

/** Methods that scanners try and pages do not. */
const odd: ReadonlySet<string> = new Set([
  'TRACE',
  'TRACK',
  'DEBUG',
  'PROPFIND',
  'PROPPATCH',
  'MKCOL',
  'MOVE',
  'COPY',
  'LOCK',
  'UNLOCK',
  'SEARCH',
  'CONNECT'
])

/** Refusals of tokens and keys that never were any; not of those that have ended, or whose key has, nor of none at all. */
const forged = /^(?:malformed|alg|kid|signature|payload|claims\.form|apikey\.(?:malformed|checksum|secret))$/

/** Notes what speaks against clients once their requests are over, and has them banned who have collected enough. */
export function watch(
  app: FastifyInstance,
  { window, threshold, weights, ignore }: DetectOptions,
  { allow }: AgentRules,
  services: Pick<Services, 'store' | 'shared'>
): (address: string, signal: Signal) => void {
  const rule = { window: toMilliseconds(window), threshold }
  const scores = services.shared(
    'scores',
    () => new Scores(services.store),
    (shared) => shared.close()
  )
  const figures = signalFiguresOf(services)
  const known = new Patterns(allow)
  const agents = new Agents()
  const isIgnored = (path: string): boolean => ignore.some((beginning) => path.startsWith(beginning))

  const punish = (address: string, evidence: Readonly<Record<string, number>>): void =>
    app.punish(address, { reason: 'score', evidence })
  const note = (address: string, signal: Signal): void => {
    figures[signal] += 1
    const network = networkFor(address)
    if (network !== undefined) scores.add(network, signal, weights[signal], { ...rule, address, punish })
  }

  app.finishers.push((request, status) => {
    const { exchange, raw } = request
    const { client } = exchange
    const agent = raw.headers['user-agent']
    if (agent !== undefined && agents.isTool(agent) && !known.test(agent)) note(client, 'tool')
    const { referer } = raw.headers
    if (referer?.includes('{') === true && isInjected(referer)) note(client, 'tool')
    // Whoever is turned away already collects nothing more.
    if (exchange.verdict === 'BANNED') return
    const mark = markOf(exchange.path)
    if (
      mark !== undefined &&
      (mark === 'always' || status === 404 || status === 400) &&
      !isIgnored(exchange.path)
    ) {
      note(client, 'probe')
    }
    if ((exchange.query !== '' && isAttempt(exchange.query)) || isAttempt(raw.url ?? ''))
      note(client, 'attack')
    if (status < 400 || status === 499) return
    const signal = signalOf(request, status)
    if (signal === undefined) return
    if (signal !== 'missing') note(client, signal)
    else note(client, scores.isNew(networkFor(client) ?? client, exchange.path) ? 'missing' : 'again')
  })
  return note
}

/** What a refusal or a failure says of whoever asked. */
function signalOf({ exchange, raw }: FastifyRequest, status: number): Signal | undefined {
  const { verdict, reason = '' } = exchange
  if (odd.has(raw.method!)) return 'method'
  if (reason.startsWith('guard_')) return 'denied'
  if (verdict === 'INVALID_CREDENTIALS' || reason.startsWith('locked.')) return 'login'
  switch (status) {
    case 400:
      return verdict === 'AMBIGUOUS_REQUEST' || verdict === 'AMBIGUOUS_PATH' ? 'malformed' : undefined
    case 401:
      if (verdict === 'allowed') return isAttemptToSignIn(raw) ? 'attempt' : 'unauthenticated'
      return forged.test(reason) ? 'token' : 'unauthenticated'
    case 403:
      return verdict === 'allowed' && isAttemptToSignIn(raw) ? 'attempt' : 'forbidden'
    case 404:
      return 'missing'
    case 413:
    case 414:
    case 431:
      return 'oversize'
    case 429:
      return 'limited'
    case 501:
      return 'method'
    default:
      return undefined
  }
}

/** Nobody who is signed in sends a password once more. */
const isAttemptToSignIn = ({ method, headers }: FastifyRequest['raw']): boolean =>
  headers.authorization?.startsWith('Basic ') === true ||
  (method === 'POST' && headers.authorization === undefined && headers.cookie === undefined)

/** Which user agents are those of tools. */
class Agents {
  #known = new Map<string, boolean>()

  isTool(agent: string): boolean {
    let isOne = this.#known.get(agent)
    if (isOne === undefined) {
      isOne = isTool(agent) || isInjected(agent)
      if (this.#known.size >= remembered) this.#known = new Map()
      this.#known.set(agent, isOne)
    }
    return isOne
  }
}
