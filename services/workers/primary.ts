import { fork } from 'node:child_process'
import { createServer, type Socket } from 'node:net'
import type { Writable } from 'node:stream'
import type { Log, LogFormat } from '../telemetry/log.ts'
import { Dispatcher } from './dispatcher.ts'
import { type Inherit, OwnEntrance, type Sides } from './entrance.ts'
import { Member, WorkerFailed } from './member.ts'
import {
  type Figures,
  type FromWorker,
  faultOf,
  type Orders,
  type Request,
  type WorkerState
} from './messages.ts'
import { Tally } from './tally.ts'
import { passWholeLines } from './whole-lines.ts'

export interface PrimaryOptions {
  /** The program of a worker. */
  readonly program: string
  readonly count: number
  readonly orders: Omit<Orders, 'number' | 'text'>
  /** Where the lines of all of them go. */
  readonly output: Writable
  /** How the primary speaks, once the first worker knows the config. */
  readonly speak: (format: LogFormat, level: string) => Log
  readonly inherit?: Inherit | undefined
  /** Has another process take over from this one; resolves with its pid. */
  readonly upgrade: () => Promise<number>
}

/** Milliseconds a worker may take to tell its figures, and to read a config. */
const patience = { figures: 2000, reload: 60_000 }
/** A worker that lived no longer than this, in milliseconds, is replaced after a pause, which grows. */
const shortLife = 10_000
const longestPause = 5000

/**
 * Listens, hands connections to workers, and replaces those that end. It reads nothing of a connection and knows nothing of the config: what
 * it holds is what must outlive every worker.
 */
export class Primary {
  readonly #options: PrimaryOptions
  readonly #entrance: OwnEntrance
  readonly #dispatcher = new Dispatcher()
  readonly #members = new Set<Member>()
  readonly #tally = new Tally()
  #opening: Promise<Sides<string>> | undefined
  #listen: Sides<string> | undefined
  #log: Log | undefined
  /** The config that serves, as it was written. */
  #text: string | undefined
  #shortLives = 0
  #isRestarting = false
  #isLeaving = false
  #worst = 0

  private constructor(options: PrimaryOptions) {
    this.#options = options
    this.#entrance = new OwnEntrance(options.inherit)
    process.on('exit', () => {
      for (const member of this.#members) member.kill()
    })
  }

  /** Resolves once all workers serve, or were tried to be started. Rejects with a WorkerFailed when the first one cannot. */
  static async start(options: PrimaryOptions): Promise<Primary> {
    const primary = new Primary(options)
    const first = primary.#recruit(1)
    if (!(await first.serving)) {
      const { code } = await first.ended
      throw new WorkerFailed(code ?? 1)
    }
    const others = Array.from({ length: options.count - 1 }, (_, index) => primary.#recruit(index + 2))
    await Promise.all(
      others.map(async (member) => {
        if (!(await member.serving)) void primary.#keep(member.number, 1)
      })
    )
    return primary
  }

  get log(): Log {
    return this.#log!
  }

  /** What listens, to be handed over to another process. */
  get inheritance() {
    return { listen: this.#listen!, servers: this.#entrance.servers }
  }

  /** The oldest first. */
  get workers(): readonly WorkerState[] {
    return [...this.#members].map(({ about }) => about)
  }

  /** Has every worker read the config again, one after the other, so that the others serve meanwhile. */
  async reload(reason: string, by?: string, except?: Member): Promise<void> {
    for (const member of this.#members) {
      if (member === except || member.state !== 'serving') continue
      await member.ask({ name: 'reload', reason, by }, patience.reload).catch((error: Error) => {
        this.log.error({ worker: member.number, cause: error.message }, 'a worker did not read the config')
      })
    }
  }

  /**
   * Has all workers leave and resolves with the worst of their exit codes. `soon`: another process takes the connections from here on, so that
   * nothing is waited for.
   */
  async stop(soon = false): Promise<number> {
    this.#isLeaving = true
    if (soon) await this.#shut()
    for (const member of this.#members) member.leave(soon)
    await Promise.all([...this.#members].map(({ ended }) => ended))
    await this.#shut()
    this.#dispatcher.close()
    return this.#worst
  }

  #shut(): Promise<unknown> {
    return Promise.all([this.#entrance.close('public'), this.#entrance.close('admin')])
  }

  #recruit(number: number): Member {
    const { program, orders, output } = this.#options
    const child = fork(program, [], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
    const member = new Member(child, number, (message) => this.#hear(member, message))
    this.#members.add(member)
    void passWholeLines(child.stdout!, (lines) => output.write(lines))
    const text = this.#text
    member.tell({ kind: 'start', orders: { ...orders, number, ...(text !== undefined && { text }) } })
    if (this.#isLeaving) member.leave(true)
    void this.#watch(member)
    return member
  }

  async #watch(member: Member): Promise<void> {
    const { code, signal } = await member.ended
    this.#members.delete(member)
    this.#dispatcher.remove(member)
    for (const socket of member.lost('public')) this.#dispatcher.add(socket)
    for (const socket of member.lost('admin')) this.#handAdmin(socket)
    this.#tally.keep(member.figures)
    if (member.state === 'starting') return
    const facts = { worker: member.number, pid: member.about.pid, code, signal }
    if (code !== 0) this.#worst = 1
    if (member.state === 'serving') {
      this.log.error(facts, `a worker ${member.ending}; another one takes its place`)
      this.#shortLives = member.age < shortLife ? this.#shortLives + 1 : 0
      await this.#keep(member.number, this.#shortLives)
    } else if (code !== 0) this.log.warn(facts, 'a worker that was leaving has ended before it was done')
  }

  /** Starts a worker, again and again until one serves; `failures` is how often that went wrong so far. */
  async #keep(number: number, failures: number): Promise<void> {
    for (let failed = failures; !this.#isLeaving; failed += 1) {
      if (failed > 1) await pause(Math.min(longestPause, 100 * 2 ** failed))
      if (this.#isLeaving) return
      const member = this.#recruit(number)
      if (await member.serving) return
      this.log.error({ worker: number }, 'a worker did not start; it is tried again')
    }
  }

  /** Starts another worker in the place of this one, which leaves once the other serves. */
  async #replace(old: Member): Promise<boolean> {
    if (!(await this.#recruit(old.number).serving)) return false
    old.leave(true)
    return true
  }

  async #restart(): Promise<void> {
    if (this.#isRestarting) throw new Error('the workers are being replaced already')
    this.#isRestarting = true
    const [first, ...others] = [...this.#members].filter(({ state }) => state === 'serving')
    const isGood = first === undefined || (await this.#replace(first))
    const rest = isGood ? this.#replaceAll(others) : Promise.resolve()
    void rest.finally(() => {
      this.#isRestarting = false
    })
    if (!isGood)
      throw new Error('the new worker did not start, its last words say why; the old ones serve on')
  }

  async #replaceAll(members: readonly Member[]): Promise<void> {
    for (const member of members) {
      if (member.state !== 'serving' || (await this.#replace(member))) continue
      this.log.error({ worker: member.number }, 'a new worker did not start; the old ones serve on')
      return
    }
    this.log.info('all workers were replaced')
  }

  #hear(member: Member, said: FromWorker): void {
    switch (said.kind) {
      case 'open':
        void this.#open(member, said)
        break
      case 'serving':
        member.noteServing()
        this.#dispatcher.ready(member)
        break
      case 'taken':
        member.noteTaken(said.side)
        if (said.side === 'public' && member.isOpen) this.#dispatcher.ready(member)
        break
      case 'close':
        void this.#close(member, said)
        break
      case 'settled':
        this.#text = said.text
        break
      case 'farewell':
        member.figures = said.figures
        break
      case 'request':
        void this.#serve(member, said.id, said.request)
    }
  }

  /** Listens when the first worker knows where. */
  async #open(member: Member, { listen, format, level }: FromWorker & { kind: 'open' }): Promise<void> {
    this.#log ??= this.#options.speak(format, level)
    this.#listen ??= listen
    this.#opening ??= this.#entrance.open(this.#servers(), listen)
    try {
      member.tell({ kind: 'opened', addresses: await this.#opening })
    } catch (error) {
      member.tell({ kind: 'not opened', fault: faultOf(error) })
    }
  }

  #servers() {
    // Nothing is read here: the first byte is for the worker.
    const options = { pauseOnConnect: true, noDelay: true }
    return {
      public: createServer(options, (socket) => this.#dispatcher.add(socket)),
      admin: createServer(options, (socket) => this.#handAdmin(socket))
    }
  }

  /** One worker answers whoever operates the gateway, as long as it is there: it knows what it was told before. */
  #handAdmin(socket: Socket): void {
    const rank = ({ state, number }: Member) => (state === 'serving' ? 0 : 1000) + number
    const [taker] = [...this.#members].sort((one, other) => rank(one) - rank(other))
    if (taker?.hand(socket, 'admin') !== true) socket.destroy()
  }

  async #close(member: Member, { side }: FromWorker & { kind: 'close' }): Promise<void> {
    const isFirst = member.state !== 'leaving'
    member.state = 'leaving'
    if (side === 'public') {
      member.isOpen = false
      this.#dispatcher.remove(member)
    }
    if (this.#isLeaving) await this.#entrance.close(side)
    member.tell({ kind: 'closed', side })
    // It was asked to leave by somebody else.
    if (isFirst && !this.#isLeaving) await this.#keep(member.number, 0)
  }

  async #serve(member: Member, id: number, request: Request): Promise<void> {
    try {
      member.tell({ kind: 'reply', id, value: await this.#do(member, request) })
    } catch (error) {
      member.tell({ kind: 'reply', id, fault: (error as Error).message })
    }
  }

  #do(member: Member, request: Request): unknown {
    switch (request.name) {
      case 'metrics':
        return this.#metrics()
      case 'reload':
        return this.reload(request.reason, request.by, member)
      case 'list':
        return this.workers
      case 'restart':
        return this.#restart()
      case 'upgrade':
        return this.#options.upgrade()
    }
  }

  async #metrics(): Promise<string> {
    await Promise.all(
      [...this.#members].map(async (member) => {
        // One that does not answer is counted as it was.
        const figures = await member.ask({ name: 'figures' }, patience.figures).catch(() => member.figures)
        member.figures = figures as Figures
      })
    )
    // Whoever has ended meanwhile is counted among those that are gone.
    return this.#tally.text(() => [...this.#members].map(({ figures }) => figures))
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref())
