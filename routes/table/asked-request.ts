import type { IncomingMessage } from 'node:http'

/** Names and values, in the order in which they would be sent. */
export type HeaderLines = readonly (readonly [name: string, value: string])[]

/** Headers of which Node keeps the first (RFC 9110 5.3: they may be there once). */
const single = new Set(['authorization', 'content-length', 'content-type', 'host', 'user-agent'])

/** A request that was only asked about, with as much of it as the gateway looks at: nobody has sent it. */
export function askedRequest(
  method: string,
  url: string,
  lines: HeaderLines,
  remoteAddress = '127.0.0.1'
): IncomingMessage {
  const { host, target } = /^https?:\/\//i.test(url) ? splitURL(url) : { host: undefined, target: url }
  const hasHost = lines.some(([name]) => name.toLowerCase() === 'host')
  const sent: HeaderLines = hasHost ? lines : [['Host', host ?? 'localhost'], ...lines]
  const headers: Record<string, string> = {}
  for (const [name, value] of sent) {
    const lower = name.toLowerCase()
    const before = headers[lower]
    if (before === undefined) headers[lower] = value
    else if (!single.has(lower)) headers[lower] = before + (lower === 'cookie' ? '; ' : ', ') + value
  }
  const request = {
    method: method.toUpperCase(),
    url: target,
    headers,
    rawHeaders: sent.flat(),
    httpVersion: '1.1',
    httpVersionMajor: 1,
    httpVersionMinor: 1,
    socket: { remoteAddress }
  }
  return request as unknown as IncomingMessage
}

/** Without the URL class, which would bring the path into a form that nobody sent. */
function splitURL(url: string): { host: string; target: string } {
  const [, host = '', target = ''] = /^https?:\/\/([^/?]*)(.*)$/is.exec(url) ?? []
  return { host, target: target.startsWith('/') ? target : `/${target}` }
}
