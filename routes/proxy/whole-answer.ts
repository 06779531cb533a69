import type { ServerResponse } from 'node:http'

/** Where Node keeps a head until what comes behind it is there; there is no public way to give it one as text. */
type Headed = ServerResponse & { _header: string | null; readonly _keepAliveTimeout: number }

/**
 * Whether Node, of an answer with a date and the length of its body, would say no more than that the connection is kept. RFC 9110 8.6 has no
 * length for a 204.
 */
export const isPlain = ({ shouldKeepAlive }: ServerResponse, status: number): boolean =>
  shouldKeepAlive && status !== 204

/** Writes a plain answer that is all there, and ends it: head and body leave as one text. `lines` are those of `AnswerHeaders`. */
export function endPlain(
  response: ServerResponse,
  status: number,
  reason: string,
  lines: string,
  body: string
): void {
  const headed = response as Headed
  headed.statusCode = status
  headed._header = `HTTP/1.1 ${status} ${reason}${lines}${keptFor(headed._keepAliveTimeout)}${body}`
  headed.end()
}

let known = { timeout: -1, text: '' }

/** The end of a head whose connection is kept, for so many milliseconds. */
function keptFor(timeout: number): string {
  if (timeout !== known.timeout) {
    const seconds = Math.floor(timeout / 1000)
    known = { timeout, text: `\r\nConnection: keep-alive\r\nKeep-Alive: timeout=${seconds}\r\n\r\n` }
  }
  return known.text
}
