import { connect, createServer, type Socket } from 'node:net'
import { listen, type Teardown } from '../../support/load/listen.ts'

/** How the way to Redis behaves. */
export type Behaviour =
  | { readonly kind: 'pass' }
  /** Every answer comes this much later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Answers are kept back, until it behaves otherwise. */
  | { readonly kind: 'silent' }
  /** A connection is cut as soon as it asks for anything. */
  | { readonly kind: 'cut' }
  /** Redis hears nothing, and these bytes answer every command. */
  | { readonly kind: 'answer'; readonly bytes: string }

/** The way to a Redis: a TCP proxy. */
export interface Way {
  readonly port: number
  behave(behaviour: Behaviour): void
  /** Cuts every connection that there is. */
  cut(): void
}

export async function startWay(t: Teardown, redisPort: number): Promise<Way> {
  const lines = new Set<Line>()
  let behaviour: Behaviour = { kind: 'pass' }
  const server = createServer({ noDelay: true }, (client) => {
    const line = new Line(client, connect({ port: redisPort, host: '127.0.0.1', noDelay: true }), behaviour)
    lines.add(line)
    client.once('close', () => lines.delete(line))
  })
  const port = await listen(t, server)
  return {
    port,
    behave(next) {
      behaviour = next
      for (const line of lines) line.behave(next)
    },
    cut() {
      for (const line of lines) line.end()
    }
  }
}

/** One connection of a gateway, and the one to Redis that belongs to it. */
class Line {
  readonly #client: Socket
  readonly #redis: Socket
  #behaviour: Behaviour
  /** Answers that were kept back, or are late. */
  #kept: { readonly bytes: Buffer; readonly due: number }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(client: Socket, redis: Socket, behaviour: Behaviour) {
    this.#client = client
    this.#redis = redis
    this.#behaviour = behaviour
    client.on('data', (bytes) => this.#ask(bytes))
    redis.on('data', (bytes) => this.#answer(bytes))
    for (const socket of [client, redis]) {
      socket.on('error', () => {})
      socket.once('close', () => this.end())
    }
  }

  behave(behaviour: Behaviour): void {
    this.#behaviour = behaviour
    this.#flush()
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#client.destroy()
    this.#redis.destroy()
  }

  #ask(bytes: Buffer): void {
    const { kind } = this.#behaviour
    if (kind === 'cut') this.end()
    else if (kind !== 'answer') this.#redis.write(bytes)
    else this.#client.write(this.#behaviour.bytes.repeat(commandsIn(bytes)), 'latin1')
  }

  #answer(bytes: Buffer): void {
    const { kind } = this.#behaviour
    // What was asked before gets no better answer.
    if (kind === 'answer') this.#client.write(this.#behaviour.bytes, 'latin1')
    else if (kind === 'pass' && this.#kept.length === 0) this.#client.write(bytes)
    else {
      const due = kind === 'delay' ? performance.now() + this.#behaviour.ms : Number.POSITIVE_INFINITY
      this.#kept.push({ bytes, due })
      this.#flush()
    }
  }

  /** Passes on what is due, in the order in which it came. */
  #flush(): void {
    clearTimeout(this.#timer)
    const { kind } = this.#behaviour
    if (kind === 'silent' || kind === 'answer') return
    const now = kind === 'pass' ? Number.POSITIVE_INFINITY : performance.now()
    while (this.#kept.length > 0 && isDue(this.#kept[0]!.due, now))
      this.#client.write(this.#kept.shift()!.bytes)
    if (this.#kept.length > 0)
      this.#timer = setTimeout(() => this.#flush(), Math.max(1, this.#kept[0]!.due - now))
  }
}

/** What was kept back without a time is due as soon as anything is. */
const isDue = (due: number, now: number): boolean => due <= now || due === Number.POSITIVE_INFINITY

const commandsIn = (bytes: Buffer): number => bytes.toString('latin1').match(/\*\d+\r\n\$/g)?.length ?? 0
