import { Agent as PlainAgent } from 'node:http'
import { Agent as SecureAgent } from 'node:https'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { type Delivery, DeliveryError } from '../delivery.ts'
import type { Line } from '../line-queue.ts'
import type { HttpOptions } from '../slice.ts'
import { readTLS } from '../tls.ts'
import { post } from './post.ts'

const compress = promisify(gzip)

type Options = Pick<HttpOptions, 'url' | 'format' | 'headers' | 'gzip' | 'tls'>

/** Posts batches to a collector, over one connection that is kept. */
export class HttpDelivery implements Delivery {
  readonly #url: URL
  readonly #options: Options
  readonly #directory: string
  #agent: PlainAgent | undefined

  constructor(options: Options, directory: string) {
    this.#url = new URL(options.url)
    this.#options = options
    this.#directory = directory
  }

  async deliver(batch: readonly Line[], signal: AbortSignal): Promise<void> {
    const { format, gzip: compressed, headers } = this.#options
    const text = textOf(batch, format)
    const body = compressed ? await compress(text) : Buffer.from(text)
    this.#agent ??= await this.#connect()
    const answer = await post(
      this.#url,
      {
        'content-type': format === 'json' ? 'application/json' : 'application/x-ndjson',
        ...(compressed && { 'content-encoding': 'gzip' }),
        'user-agent': 'tollkeeper',
        ...headers
      },
      body,
      { agent: this.#agent, signal }
    ).catch((error: unknown) => {
      // Its certificates may be others by now.
      this.close()
      throw error
    })
    const refusal = refusalOf(answer.status, answer.retryAfter)
    if (refusal !== undefined) throw refusal
  }

  close(): void {
    this.#agent?.destroy()
    this.#agent = undefined
  }

  async #connect(): Promise<PlainAgent> {
    const bounds = { keepAlive: true, maxSockets: 1, timeout: 60_000 }
    if (this.#url.protocol === 'http:') return new PlainAgent(bounds)
    return new SecureAgent({ ...bounds, ...(await readTLS(this.#options.tls, this.#directory)) })
  }
}

function textOf(batch: readonly Line[], format: Options['format']): string {
  const lines = batch.map(({ text }) => text)
  return format === 'json' ? `[${lines.join(',')}]` : `${lines.join('\n')}\n`
}

/** Statuses that say that these lines will never do (RFC 9110 15.5). */
const final = new Set([400, 411, 415, 422])

/**
 * Undefined where the lines were taken. What the configuration or the collector may mend, a wrong password or a wrong path, is tried
 * again; what the lines themselves are refused for is not.
 */
export function refusalOf(status: number, retryAfter: string | undefined): DeliveryError | undefined {
  if (status >= 200 && status < 300) return undefined
  const words = `it answered ${status}`
  if (status === 413) return new DeliveryError(words, { retry: 'too large' })
  if (final.has(status)) return new DeliveryError(words, { retry: 'never' })
  return new DeliveryError(words, { after: millisecondsIn(retryAfter) })
}

/** Retry-After (RFC 9110 10.2.3) in milliseconds from now. */
function millisecondsIn(retryAfter: string | undefined): number | undefined {
  if (retryAfter === undefined) return undefined
  if (/^\d{1,9}$/.test(retryAfter)) return Number(retryAfter) * 1000
  // JavaScript takes a good deal else for a date.
  const at = /^[A-Z][a-z]{2,8},? /.test(retryAfter) ? Date.parse(retryAfter) : Number.NaN
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now())
}
