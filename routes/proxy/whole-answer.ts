import type { ServerResponse } from 'node:http'

/** Where Node keeps a head until what comes behind it is there; there is no public way to give it one as text. */
type Headed = ServerResponse & { _header: string | null; readonly _keepAliveTimeout: number }

/** Whether Node would say of an answer with a length no more than that its connection is kept. */
export const isPlain = ({ req, shouldKeepAlive }: ServerResponse, status: number): boolean =>
  shouldKeepAlive && req.httpVersion === '1.1' && req.method !== 'HEAD' && status !== 204 && status !== 304

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
