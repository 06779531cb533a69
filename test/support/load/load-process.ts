import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import { listen } from './listen.ts'
import { clock, type Sample, type Work } from './sample.ts'

/**
 * Sends requests at a steady rate whatever becomes of those before, and is the service they are for. A process of its own, so that
 * nobody's work but its own makes an answer look late. `Work` begins it, `end` has it answer with what became of each.
 */
const patienceMs = 5000
const mostConnections = 500

class Connection {
  readonly #socket: Socket
  readonly #onIdle: (connection: Connection) => void
  #received = ''
  #done: ((answer: string) => void) | undefined
  isOpen = true

  constructor(origin: string, onIdle: (connection: Connection) => void) {
    const { hostname, port } = new URL(origin)
    this.#onIdle = onIdle
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true })
    this.#socket.on('data', (bytes) => this.#receive(bytes.toString('latin1')))
    this.#socket.on('error', () => {})
    this.#socket.once('close', () => {
      this.isOpen = false
      this.#finish('')
    })
  }

  /** `done` gets the whole answer, or nothing when there is none. */
  send(head: string, done: (answer: string) => void): void {
    this.#received = ''
    this.#done = done
    this.#socket.write(head, 'latin1')
  }

  close(): void {
    this.isOpen = false
    this.#socket.destroy()
  }

  #receive(bytes: string): void {
    this.#received += bytes
    const end = this.#received.indexOf('\r\n\r\n')
    if (end === -1) return
    const [, length = '0'] = /\r\ncontent-length: *(\d+)/i.exec(this.#received.slice(0, end)) ?? []
    if (this.#received.length < end + 4 + Number(length)) return
    if (/\r\nconnection: *close/i.test(this.#received.slice(0, end))) this.close()
    this.#finish(this.#received)
    if (this.isOpen) this.#onIdle(this)
  }

  #finish(answer: string): void {
    const done = this.#done
    this.#done = undefined
    done?.(answer)
  }
}

/** A load under way. */
class Load {
  readonly #work: Work
  readonly #samples: Sample[] = []
  readonly #idle: Connection[][]
  readonly #startedAt = clock()
  readonly #sent: number[]
  #open = 0
  #underWay = 0
  readonly #timer: NodeJS.Timeout

  constructor(work: Work) {
    this.#work = work
    this.#idle = work.origins.map(() => [])
    this.#sent = work.streams.map(() => 0)
    this.#timer = setInterval(() => this.#sendDue(), 1)
  }

  async end(): Promise<readonly Sample[]> {
    clearInterval(this.#timer)
    while (this.#underWay > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    for (const connection of this.#idle.flat()) connection.close()
    return this.#samples
  }

  #sendDue(): void {
    const seconds = (clock() - this.#startedAt) / 1000
    for (const [stream, { rate }] of this.#work.streams.entries()) {
      for (; this.#sent[stream]! < seconds * rate; this.#sent[stream]! += 1)
        this.#send(stream, this.#sent[stream]!)
    }
  }

  #send(stream: number, number: number): void {
    const { origins, streams, forbidden } = this.#work
    const gateway = number % origins.length
    const sent = clock()
    const connection = this.#connectionTo(gateway)
    const note = (answer: string): void => {
      this.#samples.push({
        stream,
        gateway,
        sent,
        took: clock() - sent,
        wasSent: connection !== undefined,
        status: Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0),
        retryAfter: /\r\nretry-after: *([^\r]*)/i.exec(answer)?.[1],
        leak: forbidden.find((text) => answer.includes(text))
      })
    }
    if (connection === undefined) {
      note('')
      return
    }
    this.#underWay += 1
    const late = setTimeout(() => connection.close(), patienceMs)
    const head = `GET ${streams[stream]!.path} HTTP/1.1\r\nhost: gateway\r\n\r\n`
    connection.send(head, (answer) => {
      clearTimeout(late)
      this.#underWay -= 1
      if (!connection.isOpen) this.#open -= 1
      note(answer)
    })
  }

  #connectionTo(gateway: number): Connection | undefined {
    const idle = this.#idle[gateway]!
    for (let connection = idle.pop(); connection !== undefined; connection = idle.pop()) {
      if (connection.isOpen) return connection
      this.#open -= 1
    }
    if (this.#open >= mostConnections) return undefined
    this.#open += 1
    return new Connection(this.#work.origins[gateway]!, (connection) => idle.push(connection))
  }
}

const port = await listen(
  { teardown: () => {} },
  createServer((_request, response) => response.writeHead(200, { 'content-length': '2' }).end('ok'))
)
let load: Load | undefined
process.on('message', async (message: Work | 'end') => {
  if (message !== 'end') load = new Load(message)
  else process.send!(await load!.end())
})
process.once('disconnect', () => process.exit(0))
process.send!(port)
