import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { LogFormat } from '../telemetry/log.ts'
import type { Crew, CrewHands } from './crew.ts'
import type { Entrance, Side, Sides } from './entrance.ts'
import type { Figures, FromWorker, Orders, Question, Request, ToWorker, WorkerState } from './messages.ts'

interface Pending<Value> {
  resolve(value: Value): void
  reject(error: Error): void
}

/**
 * A worker's end of the channel to its primary: connections come from there, and what concerns all workers is asked there. When the
 * primary is gone nobody brings connections any more, and the worker is told to leave.
 */
export class Worker implements Entrance, Crew {
  /** What this worker is to do. */
  readonly started: Promise<Orders>
  /** Resolves when it is to leave; `soon` when others serve on. */
  readonly told: Promise<{ readonly soon: boolean }>
  #orders: Orders | undefined
  #servers: Sides<Server> | undefined
  #hands: CrewHands | undefined
  #opening: Pending<Sides<string>> | undefined
  readonly #closing = new Map<Side, () => void>()
  readonly #requests = new Map<number, Pending<unknown>>()
  #lastRequest = 0
  #voice: { readonly format: LogFormat; readonly level: string } | undefined

  constructor() {
    let start: (orders: Orders) => void
    let leave: (how: { soon: boolean }) => void
    this.started = new Promise((resolve) => {
      start = resolve
    })
    this.told = new Promise((resolve) => {
      leave = resolve
    })
    process.on('message', (message, handle) => {
      const said = message as ToWorker
      if (said.kind === 'start') {
        this.#orders = said.orders
        start(said.orders)
      } else if (said.kind === 'leave') leave(said)
      else this.#hear(said, handle as Socket | undefined)
    })
    process.on('disconnect', () => {
      const gone = new Error('the primary process is gone')
      leave({ soon: true })
      this.#opening?.reject(gone)
      for (const resolve of this.#closing.values()) resolve()
      for (const { reject } of this.#requests.values()) reject(gone)
    })
    process.on('SIGTERM', () => leave({ soon: true }))
    // A terminal sends these to everyone; the primary passes on what concerns its workers.
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGUSR2'] as const) process.on(signal, () => {})
  }

  get number(): number {
    return this.#orders!.number
  }

  /** How this worker speaks: the primary speaks likewise. */
  speaks(voice: { readonly format: LogFormat; readonly level: string }): void {
    this.#voice = voice
  }

  open(servers: Sides<Server>, listen: Sides<string>): Promise<Sides<string>> {
    this.#servers = servers
    // Node looks for slow heads and bodies from then on; nothing listens here.
    for (const server of [servers.public, servers.admin]) server.emit('listening')
    return new Promise((resolve, reject) => {
      this.#opening = { resolve, reject }
      void this.#say({ kind: 'open', listen, ...this.#voice! })
    })
  }

  /** Takes connections from now on. */
  serve(): void {
    void this.#say({ kind: 'serving' })
  }

  close(side: Side): Promise<void> {
    if (!process.connected) return Promise.resolve()
    return new Promise((resolve) => {
      this.#closing.set(side, resolve)
      void this.#say({ kind: 'close', side })
    })
  }

  metrics(): Promise<string> {
    return this.#request({ name: 'metrics' }) as Promise<string>
  }

  async reload(reason: string, by: string | undefined): Promise<void> {
    await this.#request({ name: 'reload', reason, by })
  }

  list(): Promise<readonly WorkerState[]> {
    return this.#request({ name: 'list' }) as Promise<readonly WorkerState[]>
  }

  async restart(): Promise<void> {
    await this.#request({ name: 'restart' })
  }

  upgrade(): Promise<number> {
    return this.#request({ name: 'upgrade' }) as Promise<number>
  }

  settled(text: string): void {
    void this.#say({ kind: 'settled', text })
  }

  farewell(figures: Figures): Promise<void> {
    return this.#say({ kind: 'farewell', figures })
  }

  onAsked(hands: CrewHands): void {
    this.#hands = hands
  }

  #hear(said: ToWorker, socket: Socket | undefined): void {
    switch (said.kind) {
      case 'connection':
        this.#take(said.side, socket)
        break
      case 'opened':
        this.#opening?.resolve(said.addresses)
        break
      case 'not opened': {
        const { message, ...facts } = said.fault
        this.#opening?.reject(Object.assign(new Error(message), facts))
        break
      }
      case 'closed':
        this.#closing.get(said.side)?.()
        break
      case 'question':
        void this.#answer(said.id, said.question)
        break
      case 'reply': {
        const pending = this.#requests.get(said.id)
        this.#requests.delete(said.id)
        if (said.fault === undefined) pending?.resolve(said.value)
        else pending?.reject(new Error(said.fault))
      }
    }
  }

  /** A connection that was gone before it came here has no socket. */
  #take(side: Side, socket: Socket | undefined): void {
    void this.#say({ kind: 'taken', side })
    if (socket === undefined) return
    // As a server of Node's has them.
    socket.allowHalfOpen = true
    this.#servers![side].emit('connection', socket)
  }

  async #answer(id: number, question: Question): Promise<void> {
    const hands = this.#hands
    try {
      if (question.name === 'alive') {
        await this.#say({ kind: 'answer', id })
        return
      }
      if (hands === undefined) throw new Error('it has not started yet')
      const value = await (question.name === 'figures'
        ? hands.figures()
        : hands.reload(question.reason, question.by))
      await this.#say({ kind: 'answer', id, value })
    } catch (error) {
      await this.#say({ kind: 'answer', id, fault: (error as Error).message })
    }
  }

  #request(request: Request): Promise<unknown> {
    this.#lastRequest += 1
    const id = this.#lastRequest
    return new Promise((resolve, reject) => {
      if (!process.connected) {
        reject(new Error('the primary process is gone'))
        return
      }
      this.#requests.set(id, { resolve, reject })
      void this.#say({ kind: 'request', id, request })
    })
  }

  /** Resolves when it is on its way; a primary that is gone is told of by `disconnect`. */
  #say(message: FromWorker): Promise<void> {
    return new Promise((resolve) => {
      if (process.connected) process.send!(message, undefined, undefined, () => resolve())
      else resolve()
    })
  }
}
