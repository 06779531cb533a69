import { Agent, type IncomingMessage, request } from 'node:http'
import { type AnswerCase, printed } from './answer-case.ts'
import { nextCase, type Tally } from './hunt.ts'
import type { Replay } from './oracles.ts'
import { readInPieces, readOwn, said } from './own-reader.ts'
import type { Random } from './random.ts'
import { lowerNames, type Verdict } from './verdict.ts'

/** Longer than any timeout of the gateway. */
const patience = 15_000

export const probedService = {
  timeouts: { connect: '5s', response: '5s', idle: '5s' },
  retry: { attempts: 0 },
  health: { eject: '0s' }
}

/**
 * With so few connections each one goes from hand to hand, to requests that wait for it already. They may meet one after the other that its node
 * closes without a word, and be refused; what they may not meet is somebody else's answer.
 */
export const crowdedService = { ...probedService, connections: { max: 2, queue: 100 } }

/** What the gateway leaves out or says itself. */
const notCompared = new Set([
  'connection',
  'content-length',
  'date',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id'
])

/**
 * One client of the gateway, with one connection that it keeps as long as it may. It asks for made-up answers and after each one for an
 * answer that is known: whatever else comes then belonged to another.
 */
export class Prober {
  readonly #origin: string
  readonly #replay: Replay
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #count: (key: string) => void

  readonly #mayRefuse: boolean

  constructor(origin: string, replay: Replay, tally: Tally, mayRefuse: boolean) {
    this.#mayRefuse = mayRefuse
    this.#origin = origin
    this.#replay = replay
    this.#count = (key) => void tally.set(key, (tally.get(key) ?? 0) + 1)
  }

  /** What is wrong with how this answer, or the one after it, came through. */
  async probe(random: Random, one: AnswerCase): Promise<string | undefined> {
    const { verdict: own } = readOwn(random, one)
    const path = this.#replay.add(one)
    const theirs = await this.#ask(path, one.method)
    this.#replay.remove(path)
    const complaint = this.#compare(one, own, theirs) ?? (await this.#askKnown())
    return complaint && `${printed(one)}\n  parser: ${said(own)}\n  gateway: ${complaint}`
  }

  close(): void {
    this.#agent.destroy()
  }

  #compare(one: AnswerCase, own: Verdict, theirs: Verdict): string | undefined {
    this.#count(`${said(own)} -> ${said(theirs)}`)
    if (theirs.kind === 'waiting') return 'never comes to an end'
    if (own.kind === 'accepted') {
      if (theirs.kind === 'accepted') return differs(own, theirs)
      return this.#mayRefuse ? undefined : said(theirs)
    }
    if (theirs.kind === 'refused') return undefined
    // The network cuts as it likes: what is behind the end may have come too late to refuse the answer.
    const late = readInPieces(
      one,
      Array.from(one.bytes, (_, index) => index),
      true
    )
    return late.kind === 'accepted' && late.hasExcess ? differs(late, theirs) : `accepts ${theirs.status}`
  }

  async #askKnown(): Promise<string | undefined> {
    const path = this.#replay.add({ method: 'GET', bytes: '', isClosed: false })
    const body = `the answer for ${path}`
    const bytes = `HTTP/1.1 200 OK\r\nX-Known: ${path}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    this.#replay.replace(path, { method: 'GET', bytes, isClosed: false })
    const known = await this.#ask(path, 'GET')
    this.#replay.remove(path)
    if (known.kind === 'accepted' && known.body === body && known.headers?.includes(path)) return undefined
    if (known.kind === 'accepted')
      return `the next answer is ${known.status} ${JSON.stringify(known.body.slice(0, 200))}`
    this.#count(`next answer ${said(known)}`)
    return this.#mayRefuse ? undefined : `the next answer is ${said(known)}`
  }

  #ask(path: string, method: string): Promise<Verdict> {
    return new Promise((resolve) => {
      const asked = request(`${this.#origin}${path}`, { method, agent: this.#agent, maxHeaderSize: 200_000 })
      const timer = setTimeout(() => {
        resolve({ kind: 'waiting' })
        asked.destroy()
      }, patience)
      const over = (verdict: Verdict): void => {
        clearTimeout(timer)
        resolve(verdict)
      }
      asked.on('error', (error) =>
        over({ kind: 'refused', reason: String((error as { code?: unknown }).code) })
      )
      asked.on('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', () => over({ kind: 'refused', reason: 'broken' }))
        response.on('end', () => over(verdictOf(response, Buffer.concat(chunks).toString('latin1'))))
      })
      asked.end()
    })
  }
}

function verdictOf(response: IncomingMessage, body: string): Verdict {
  const { statusCode, rawHeaders, rawTrailers, headers } = response
  const code = /"code":"(UPSTREAM_[A-Z]+)"/.exec(body)?.[1]
  if (code !== undefined || (statusCode! >= 502 && headers['content-type'] === 'application/problem+json')) {
    return { kind: 'refused', reason: code ?? 'problem' }
  }
  return {
    kind: 'accepted',
    status: statusCode!,
    body,
    headers: lowerNames(rawHeaders),
    trailers: lowerNames(rawTrailers),
    hasExcess: false
  }
}

type Accepted = Extract<Verdict, { kind: 'accepted' }>

function differs(own: Accepted, theirs: Accepted): string | undefined {
  if (own.status !== theirs.status) return `status ${own.status} became ${theirs.status}`
  if (own.body !== theirs.body) return `body ${JSON.stringify(theirs.body.slice(0, 200))}`
  // Fastify says no type of a body that there is not.
  const skipped = own.status === 204 ? 'content-type' : ''
  const sent = endToEnd(own.headers!, skipped)
  const got = endToEnd(theirs.headers!, skipped)
  if (JSON.stringify(sent) !== JSON.stringify(got))
    return `headers ${sent.join(' | ')} became ${got.join(' | ')}`
  const trailers = pairs(own.trailers!)
  const more = pairs(theirs.trailers!).filter((pair) => !trailers.includes(pair))
  return more.length === 0 ? undefined : `trailers nobody sent: ${more.join(' | ')}`
}

const pairs = (flat: readonly string[]): string[] =>
  flat.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${flat[index + 1]}`] : []))

/** What is for the client. Only among fields of one name does the order say something (RFC 9110 5.3). */
function endToEnd(flat: readonly string[], skipped: string): string[] {
  const named = new Set([skipped])
  for (let index = 0; index < flat.length; index += 2) {
    if (flat[index] !== 'connection') continue
    for (const name of flat[index + 1]!.toLowerCase().split(',')) named.add(name.trim())
  }
  return pairs(flat)
    .filter((pair) => !notCompared.has(nameOf(pair)) && !named.has(nameOf(pair)))
    .sort((one, other) => (nameOf(one) < nameOf(other) ? -1 : nameOf(one) > nameOf(other) ? 1 : 0))
}

const nameOf = (pair: string): string => pair.slice(0, pair.indexOf(':'))

/** Sends answers through a gateway until the time is over, from several clients at once; calls back with what is wrong. */
export async function probeUntil(
  deadline: number,
  origin: string,
  {
    replay,
    random,
    recorded,
    tally,
    mayRefuse
  }: { replay: Replay; random: Random; recorded: readonly AnswerCase[]; tally: Tally; mayRefuse: boolean },
  onComplaint: (complaint: string) => void
): Promise<number> {
  let count = 0
  let bad = 0
  const work = async (): Promise<void> => {
    const prober = new Prober(origin, replay, tally, mayRefuse)
    while (performance.now() < deadline && bad < 5) {
      const made = nextCase(random, recorded)
      // Who is still waiting would wait for a timeout.
      const isWaiting = readInPieces(made, [], true).kind === 'waiting'
      const one = isWaiting ? { ...made, isClosed: true } : made
      const complaint = await prober.probe(random, one)
      count += 1
      if (complaint === undefined) continue
      bad += 1
      onComplaint(complaint)
    }
    prober.close()
  }
  await Promise.all(Array.from({ length: 8 }, work))
  return count
}
