import { connect } from 'node:net'

export interface Sent {
  readonly method?: string
  readonly path: string
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly body?: string
  /** Sent as it is, instead of all of the above. */
  readonly raw?: string
}

export interface Capture {
  readonly name: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly requests: readonly (Sent | string)[]
}

/** Plays a capture, each request on a connection of its own, from `client` behind the trusted proxy at 127.0.0.1. */
export async function replay(
  port: number,
  client: string,
  { headers, requests }: Capture
): Promise<number[]> {
  const seen: number[] = []
  for (const one of requests) {
    const sent = typeof one === 'string' ? { path: one } : one
    seen.push(await exchange(port, textOf(sent, headers, client)))
  }
  return seen
}

function textOf(sent: Sent, common: Capture['headers'], client: string): string {
  const { method = sent.body === undefined ? 'GET' : 'POST', path, headers = [], body, raw } = sent
  const forwarded = `X-Forwarded-For: ${client}\r\n`
  if (raw !== undefined) return raw.replace('\r\n', `\r\n${forwarded}`)
  const all = [['Host', 'shop.example'], ...common, ...headers]
  if (body !== undefined) all.push(['Content-Length', String(Buffer.byteLength(body))])
  const lines = all.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return `${method} ${path} HTTP/1.1\r\n${lines}${forwarded}Connection: close\r\n\r\n${body ?? ''}`
}

/** The status of the answer; 0 without one. */
function exchange(port: number, text: string): Promise<number> {
  return new Promise((resolve) => {
    let seen = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(text, 'latin1'))
    socket.setTimeout(5000, () => socket.destroy())
    socket.on('data', (chunk) => {
      seen += chunk.toString('latin1')
      // What comes after the head is not looked at.
      if (seen.includes('\r\n\r\n')) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(seen)?.[1] ?? 0)))
  })
}
