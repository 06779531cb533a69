import type { IncomingMessage, ServerResponse } from 'node:http'
import { BodyTooLarge, type Problem, RequestTimeout } from '../../errors.ts'

/** How long a client may go on sending a body that was refused, before its connection is cut. */
const lingering = 5000

/** Longest silence within a body where the route says nothing. */
const silence = 30_000

export interface BodyBounds {
  readonly maxBody: { readonly size: string; readonly bytes: number }
  readonly idleTimeout: number | undefined
}

/** Whether a request has a body, by its framing (RFC 9112 6). */
export function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length']
  return length === undefined ? headers['transfer-encoding'] !== undefined : Number(length) > 0
}

/**
 * Reads a body to its last byte and puts it back, so that whoever sends it on finds it as if nobody had looked. It never settles when
 * the client leaves: the exchange is over then, and nobody waits.
 */
export function readAhead(raw: IncomingMessage, { maxBody, idleTimeout }: BodyBounds): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const timer = setTimeout(
      () => fail(RequestTimeout([], { reason: 'slow_body' })),
      idleTimeout || silence
    ).unref()
    const stop = (): void => {
      clearTimeout(timer)
      raw.off('readable', onReadable)
      raw.off('close', stop)
    }
    const fail = (problem: Problem): void => {
      stop()
      reject(problem as Error)
    }
    const onReadable = (): void => {
      timer.refresh()
      for (let chunk = raw.read() as Buffer | null; chunk !== null; chunk = raw.read() as Buffer | null) {
        chunks.push(chunk)
        size += chunk.length
        if (size > maxBody.bytes) {
          fail(BodyTooLarge([maxBody.size], { reason: 'body_size', headers: { connection: 'close' } }))
          return
        }
      }
      if (!raw.complete) return
      stop()
      const body = Buffer.concat(chunks)
      // Before the next tick, in which the stream would end for good.
      if (body.length > 0) raw.unshift(body)
      // The stream notices a tick later that nobody reads any more; whoever starts before that would be set going twice.
      setImmediate(() => resolve(body))
    }
    raw.on('readable', onReadable)
    raw.once('close', stop)
    // Whoever expects "100 Continue" gets it when a body is wanted (routes/wire.ts), which reading in this way does not tell.
    raw.emit('resume')
  })
}

/** Lets go of a body that nobody sends on: its connection is good for further requests once the rest has come, but not for ever. */
export function letGo(raw: IncomingMessage, response: ServerResponse): void {
  response.once('finish', () => {
    raw.resume()
    if (raw.complete) return
    const timer = setTimeout(() => raw.destroy(), lingering).unref()
    raw.once('close', () => clearTimeout(timer))
    raw.once('end', () => clearTimeout(timer))
  })
}
