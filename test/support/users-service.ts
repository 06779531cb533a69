import { createHmac, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export const usersSecret = 'a secret of thirty-two characters, or more'

export interface Question {
  readonly path: string
  readonly body: Readonly<Record<string, unknown>>
  readonly headers: IncomingMessage['headers']
  readonly text: string
}

export interface UsersServiceAnswer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** How one question is answered: with an answer, or by doing something else to the response. */
export type Behaviour = (
  question: Question,
  response: ServerResponse
) => UsersServiceAnswer | undefined | Promise<UsersServiceAnswer | undefined>

export interface StartedUsersService {
  readonly url: string
  readonly questions: Question[]
  behave(next: Behaviour): void
  /** Takes no connections until `up`. */
  down(): Promise<void>
  up(): Promise<void>
}

/** A users service as somebody else would write it: it believes nobody without a fresh signature that it has not seen before. */
export async function startUsersService(t: Test, first: Behaviour): Promise<StartedUsersService> {
  const questions: Question[] = []
  const nonces = new Set<string>()
  let behave = first
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    if (!isGenuine(request, text, nonces)) {
      response.writeHead(403).end()
      return
    }
    const { url: path = '', headers } = request
    const question = { path, headers, text, body: JSON.parse(text) as Question['body'] }
    questions.push(question)
    const answer = await behave(question, response)
    if (answer === undefined) return
    const { status = 200, body = {} } = answer
    response.writeHead(status, { 'content-type': 'application/json', ...answer.headers })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }
  const close = async () => {
    if (!server.listening) return
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  await listen(0)
  const { port } = server.address() as AddressInfo
  t.teardown(close)
  return {
    url: `http://127.0.0.1:${port}`,
    questions,
    behave: (next) => {
      behave = next
    },
    down: close,
    up: () => listen(port)
  }
}

/** What the guide tells the author of a users service to check. */
export function isGenuine(
  { method, url, headers }: Pick<IncomingMessage, 'method' | 'url' | 'headers'>,
  body: string,
  nonces: Set<string>
): boolean {
  const fields = new URLSearchParams(String(headers['x-tollkeeper-signature']).replaceAll(',', '&'))
  const [t, n, given] = [fields.get('t') ?? '', fields.get('n') ?? '', fields.get('v1') ?? '']
  if (Math.abs(Date.now() / 1000 - Number(t)) > 60 || nonces.has(n)) return false
  nonces.add(n)
  const expected = createHmac('sha256', usersSecret)
    .update(`v1\n${t}\n${n}\n${method}\n${url}\n${body}`)
    .digest()
  const mac = Buffer.from(given, 'hex')
  return mac.length === expected.length && timingSafeEqual(mac, expected)
}
