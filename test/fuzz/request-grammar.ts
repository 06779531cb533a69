import type { Random } from './random.ts'

/** One request as a client sends it, on a connection of its own. */
export interface RequestCase {
  readonly method: string
  /** Everything up to and with the empty line, as latin1. */
  readonly head: string
  /** The body as it goes over the wire, in the pieces in which it is sent. */
  readonly pieces: readonly string[]
  /** The body without its framing. */
  readonly body: string
}

/** Makes requests that a service may get: mostly right, in every form that has to mean the same to it whatever carries it. */
export function madeRequest(random: Random, path: string): RequestCase {
  const method = random.pick([
    'GET',
    'GET',
    'POST',
    'POST',
    'PUT',
    'PATCH',
    'DELETE',
    'OPTIONS',
    'HEAD',
    'PROPFIND',
    'QUERY'
  ])
  const content = random.pick([
    '',
    'a',
    '{"a":1}',
    '\0\u00ff\r\n\r\n',
    '0\r\n\r\n',
    'x'.repeat(random.below(5000)),
    'y'.repeat(random.below(100_000))
  ])
  const mayHaveBody = !['GET', 'HEAD', 'OPTIONS'].includes(method) || random.chance(0.2)
  const framing = mayHaveBody ? random.pick(['length', 'chunked']) : 'none'
  const version = framing !== 'chunked' && random.chance(0.1) ? '1.0' : '1.1'
  const fields = [
    'Host: a.example',
    `Connection: ${random.pick(['close', 'close, X-Gone', 'Close', 'close,TE', 'close, x-one, x-gone'])}`
  ]
  for (const field of random.some(6, () => oneField(random))) fields.push(field)
  if (framing === 'length')
    fields.push(`${random.pick(['Content-Length', 'content-length'])}: ${content.length}`)
  if (framing === 'chunked') fields.push(`Transfer-Encoding: ${random.pick(['chunked', 'Chunked'])}`)
  if (random.chance(0.5)) fields.reverse()
  const query = random.pick(['', '?', '?a=b&a=c', '?a=%20+%zz', "?'()*!", '?a[]=1', '?caf%C3%A9'])
  const target = `${path}${random.pick(['', '/', '/a%20b', '/%7Euser', '/a;b=c', '/a//b', '/caf%C3%A9', '/A%2Db'])}${query}`
  const bytes = framing === 'chunked' ? chunked(random, content) : framing === 'length' ? content : ''
  return {
    method,
    head: `${method} ${target} HTTP/${version}\r\n${fields.join('\r\n')}\r\n\r\n`,
    pieces: piecesOf(random, bytes),
    body: framing === 'none' ? '' : content
  }
}

function oneField(random: Random): string {
  const name = random.pick([
    'X-One',
    'x-one',
    'X-Gone',
    'Accept',
    'Accept-Encoding',
    'Cookie',
    'Content-Type',
    'content-encoding',
    'If-None-Match',
    'Range',
    'User-Agent',
    'TE',
    'Trailer',
    'Via',
    'X-Forwarded-For',
    'Forwarded',
    'X-User-Id',
    'X_User_Id',
    'Keep-Alive',
    'Proxy-Authorization',
    'Upgrade',
    'Expect',
    'traceparent',
    'X-Request-Id',
    'Authorization',
    "x!#$%&'*+-.^`|~9"
  ])
  const value = random.pick([
    'a',
    '',
    'a, b',
    'caf\u00e9',
    '"x"',
    'a;q=0.5',
    'trailers',
    'h2c',
    'a=1; b=2',
    'x'.repeat(random.below(2000)),
    'a\tb',
    ' a '
  ])
  return name === 'Expect' ? 'Expect: 100-continue' : `${name}:${random.pick([' ', '', '\t'])}${value}`
}

function chunked(random: Random, content: string): string {
  let bytes = ''
  for (let at = 0; at < content.length; ) {
    const size = Math.min(content.length - at, random.pick([1, 7, 1000, 70_000]) + random.below(3))
    const digits = random.pick([
      size.toString(16),
      size.toString(16).toUpperCase(),
      `0${size.toString(16)}`,
      `${size.toString(16)};a=b`
    ])
    bytes += `${digits}\r\n${content.slice(at, at + size)}\r\n`
    at += size
  }
  return `${bytes}0\r\n${random.pick(['', '', 'X-Sum: 1\r\n'])}\r\n`
}

function piecesOf(random: Random, bytes: string): string[] {
  const cuts = random.some(4, () => random.below(bytes.length + 1)).sort((a, b) => a - b)
  return [...cuts, bytes.length]
    .map((end, index) => bytes.slice(index === 0 ? 0 : cuts[index - 1], end))
    .filter((piece) => piece !== '')
}
