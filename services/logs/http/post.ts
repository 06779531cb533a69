import { type Agent, request as plainRequest, type RequestOptions } from 'node:http'
import { request as secureRequest } from 'node:https'

/** What is read of an answer. */
export interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
}

/** Sends a body whole and reads the answer to its end, of which only the head counts. */
export function post(
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: Buffer,
  { agent, signal }: { readonly agent: Agent; readonly signal: AbortSignal }
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options: RequestOptions = {
      method: 'POST',
      agent,
      signal,
      headers: { ...headers, 'content-length': body.length },
      maxHeaderSize: 32 * 1024
    }
    const send = url.protocol === 'http:' ? plainRequest : secureRequest
    const request = send(url, options, (response) => {
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        // Nobody reads it, so nobody has to wait for all of it.
        if (size > maxAnswer) response.destroy()
      })
      response.on('error', reject)
      response.on('close', () =>
        resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] })
      )
    })
    request.on('error', reject)
    request.end(body)
  })
}

const maxAnswer = 64 * 1024
