import { toMilliseconds } from '../../../config/units.ts'
import { type Problem, UsersUnavailable } from '../../../errors.ts'
import { Breaker } from '../../store/redis/breaker.ts'
import { readObject } from '../tokens/strict-json.ts'
import { Line } from './line.ts'
import { signatureHeader, signatureOf } from './signature.ts'
import type { HttpUsersOptions } from './slice.ts'

const maxAnswer = 65_536
const maxDepth = 4
const maxRunning = 64
const maxWaiting = 256
/** Milliseconds the service is left alone after five failures in a row. */
const pause = 2000

/** Why the service could not tell; goes to the log and the metric, never to the client. */
type Fault = 'users_timeout' | 'users_connection' | 'users_refused' | 'users_status' | 'users_answer'

/** Puts signed questions to a users service; whatever is not a clear answer is an outage. */
export class UsersService {
  readonly #base: string
  readonly #key: { readonly id: string; readonly secret: string }
  readonly #timeout: number
  readonly #line = new Line(maxRunning, maxWaiting, 'users_queue')
  readonly #breaker = new Breaker(undefined, { window: Number.POSITIVE_INFINITY, open: pause })

  constructor({ url, keyId, secret, timeout }: HttpUsersOptions) {
    this.#base = url.replace(/\/+$/, '')
    this.#key = { id: keyId, secret }
    this.#timeout = toMilliseconds(timeout)
  }

  /** The answer's object; undefined for one of the statuses in `noes`. Rejects with 503 otherwise. */
  ask(
    path: '/verify' | '/lookup',
    question: Readonly<Record<string, unknown>>,
    noes: readonly number[],
    isGone?: () => boolean
  ): Promise<Readonly<Record<string, unknown>> | undefined> {
    return this.#line.run(async () => {
      if (!this.#breaker.allows()) throw unavailable('users_paused')
      try {
        const answer = await this.#send(new URL(this.#base + path), JSON.stringify(question), noes)
        this.#breaker.succeeded()
        return answer
      } catch (error) {
        this.#breaker.failed()
        throw error
      }
    }, isGone)
  }

  async #send(
    url: URL,
    body: string,
    noes: readonly number[]
  ): Promise<Readonly<Record<string, unknown>> | undefined> {
    const signed = { method: 'POST', path: url.pathname, body }
    let response: Response
    let bytes: Buffer | undefined
    try {
      response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json',
          'accept-encoding': 'identity',
          [signatureHeader]: signatureOf(signed, this.#key, Date.now())
        },
        body,
        redirect: 'manual',
        signal: AbortSignal.timeout(this.#timeout)
      })
      bytes = await readAtMost(response, maxAnswer)
    } catch (error) {
      const isLate = (error as Error).name === 'TimeoutError'
      throw unavailable(isLate ? 'users_timeout' : 'users_connection', (error as Error).cause)
    }
    if (noes.includes(response.status)) return undefined
    if (response.status === 403) throw unavailable('users_refused')
    if (response.status !== 200) throw unavailable('users_status')
    const answer = bytes && readObject(bytes, maxDepth)
    if (answer === undefined) throw unavailable('users_answer')
    return answer
  }
}

/** What the client is told while nobody can say who it is. */
export const unavailable = (reason: Fault | 'users_paused', cause?: unknown): Problem =>
  UsersUnavailable([], { reason, cause, headers: { 'retry-after': '2' } })

/** The body, or undefined when it is larger; the rest of it is not read. */
async function readAtMost({ body }: Response, limit: number): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = []
  let size = 0
  // Leaving the loop cancels the body.
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > limit) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
