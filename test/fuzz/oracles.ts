import { request } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Client } from 'undici'
import type { AnswerCase } from './answer-case.ts'
import { lowerNames, type Verdict } from './verdict.ts'

/** As much as our own parser takes; what differs shall not be the limits. */
const maxHeaderSize = 64 * 1024

/** A node that answers the request for `/7` with the bytes of case 7. It ends with `close`. */
export class Replay {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #cases = new Map<number, AnswerCase>()
  #next = 0

  private constructor() {
    this.#server = createServer((socket) => this.#serve(socket))
  }

  static async start(): Promise<Replay> {
    const replay = new Replay()
    await new Promise<void>((resolve) => replay.#server.listen(0, '127.0.0.1', resolve))
    return replay
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** The path for which the bytes are sent, as often as it is asked for. */
  add(one: AnswerCase): string {
    this.#next += 1
    this.#cases.set(this.#next, one)
    return `/${this.#next}`
  }

  replace(path: string, one: AnswerCase): void {
    this.#cases.set(Number(path.slice(1)), one)
  }

  remove(path: string): void {
    this.#cases.delete(Number(path.slice(1)))
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {})
    let received = ''
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
      const end = received.indexOf('\r\n\r\n')
      if (end < 0) return
      const [, path] = received.split(' ', 2)
      received = received.slice(end + 4)
      const one = this.#cases.get(Number(path!.slice(1)))
      if (one === undefined) socket.destroy()
      else if (one.isClosed) socket.end(one.bytes, 'latin1')
      else socket.write(one.bytes, 'latin1')
    })
  }
}

export interface Oracle {
  readonly name: 'undici' | 'node:http'
  /** Reads the answer for `path`; `patience` is how long it may take to come to an end. */
  read(port: number, path: string, method: string, patience: number): Promise<Verdict>
}

const refused = (error: unknown): Verdict => ({
  kind: 'refused',
  reason: String((error as { code?: unknown }).code ?? error)
})

const nodeHTTP: Oracle = {
  name: 'node:http',
  read: (port, path, method, patience) =>
    new Promise((resolve) => {
      const asked = request({
        port,
        host: '127.0.0.1',
        path,
        method,
        agent: false,
        maxHeaderSize,
        insecureHTTPParser: false
      })
      const over = (verdict: Verdict): void => {
        clearTimeout(timer)
        resolve(verdict)
        asked.destroy()
      }
      const timer = setTimeout(() => over({ kind: 'waiting' }), patience)
      asked.on('error', (error) => over(refused(error)))
      asked.on('upgrade', () => over({ kind: 'refused', reason: 'upgrade' }))
      asked.on('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', (error) => over(refused(error)))
        response.on('end', () =>
          over({
            kind: 'accepted',
            status: response.statusCode!,
            body: Buffer.concat(chunks).toString('latin1'),
            headers: lowerNames(response.rawHeaders),
            trailers: lowerNames(response.rawTrailers),
            hasExcess: false
          })
        )
        response.on('close', () => over({ kind: 'refused', reason: 'closed' }))
      })
      asked.end()
    })
}

const undici: Oracle = {
  name: 'undici',
  read: async (port, path, method, patience) => {
    const client = new Client(`http://127.0.0.1:${port}`, { maxHeaderSize, pipelining: 1 })
    let timer: NodeJS.Timeout | undefined
    const patienceOver = new Promise<Verdict>((resolve) => {
      timer = setTimeout(() => resolve({ kind: 'waiting' }), patience)
    })
    try {
      return await Promise.race([askWith(client, path, method).catch(refused), patienceOver])
    } finally {
      clearTimeout(timer)
      client.destroy().catch(() => {})
    }
  }
}

async function askWith(client: Client, path: string, method: string): Promise<Verdict> {
  const answer = await client.request({ path, method: method as 'GET' })
  const body = Buffer.from(await answer.body.arrayBuffer()).toString('latin1')
  // Its headers and trailers are objects, in which what comes twice is joined: node:http tells them as they came.
  return {
    kind: 'accepted',
    status: answer.statusCode,
    body,
    headers: undefined,
    trailers: undefined,
    hasExcess: false
  }
}

export const oracles: readonly Oracle[] = [undici, nodeHTTP]
