import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Taker } from './dispatcher.ts'
import type { Side } from './entrance.ts'
import type { Figures, FromWorker, Question, ToWorker, WorkerState } from './messages.ts'

interface Pending {
  resolve(value: unknown): void
  reject(error: Error): void
  readonly timer: NodeJS.Timeout
}

/** How a process ended: by itself with a code, or by a signal. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/**
 * Milliseconds between two looks at a worker, and how long it may take to answer: it is asked twice, for a primary that stood still itself,
 * with the whole machine, learns that time is over before it hears the answer. One that does not answer serves nobody.
 */
const heed = { every: 5000, first: 10_000, second: 5000 }

/** The first worker did not start; it has said why. */
export class WorkerFailed extends Error {
  override readonly name = 'WorkerFailed'
  readonly code: number

  constructor(code: number) {
    super(`the first worker ended with code ${code} before it served`)
    this.code = code
  }
}

/** A worker as its primary knows it. */
export class Member implements Taker {
  readonly number: number
  state: WorkerState['state'] = 'starting'
  /** Whether it takes clients: also while it is leaving, until it says no. */
  isOpen = false
  /** How it came to its end, for whoever reads the log. */
  ending = 'has ended by itself'
  /** What it has counted, as far as was heard last. */
  figures: Figures = []
  /** True once it serves, false when it ended before. */
  readonly serving: Promise<boolean>
  /** Once everything it has written is here. */
  readonly ended: Promise<End>
  readonly #child: ChildProcess
  readonly #since = new Date()
  readonly #pending = new Map<number, Pending>()
  #hasEnded = false
  readonly #handed: Readonly<Record<Side, Socket[]>> = { public: [], admin: [] }
  #lastQuestion = 0
  #served: (doesIt: boolean) => void = () => {}

  constructor(child: ChildProcess, number: number, hear: (message: FromWorker) => void) {
    this.#child = child
    this.number = number
    this.serving = new Promise((resolve) => {
      this.#served = resolve
    })
    this.ended = new Promise((resolve) => {
      child.once('close', (code: number | null, signal: NodeJS.Signals | null) => {
        this.#served(false)
        this.#hasEnded = true
        for (const { reject, timer } of this.#pending.values()) {
          clearTimeout(timer)
          reject(new Error('the worker has ended'))
        }
        resolve({ code, signal })
      })
    })
    child.on('message', (message) => {
      const said = message as FromWorker
      if (said.kind === 'answer') this.#settle(said)
      else hear(said)
    })
    // A worker that cannot be started or told anything ends, and that is heard of.
    child.on('error', () => child.kill('SIGKILL'))
  }

  get about(): WorkerState {
    return {
      number: this.number,
      pid: this.#child.pid ?? 0,
      state: this.state,
      since: this.#since.toISOString()
    }
  }

  /** Milliseconds since it was started. */
  get age(): number {
    return Date.now() - this.#since.getTime()
  }

  noteServing(): void {
    if (this.state === 'starting') this.state = 'serving'
    this.isOpen = true
    this.#served(true)
    void this.#heed()
  }

  tell(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message, () => {})
  }

  hand(socket: Socket, side: Side = 'public'): boolean {
    if (!this.#child.connected) return false
    const message: ToWorker = { kind: 'connection', side }
    // It stays open here until the worker has it: one that dies before that loses nobody.
    this.#child.send(message, socket, { keepOpen: true }, () => {})
    this.#handed[side].push(socket)
    return true
  }

  /** The worker has the connection that was handed over first. */
  noteTaken(side: Side): void {
    this.#handed[side].shift()?.destroy()
  }

  /** Connections that it was to get and never had. */
  lost(side: Side): readonly Socket[] {
    return this.#handed[side].splice(0)
  }

  leave(soon: boolean): void {
    this.state = 'leaving'
    this.tell({ kind: 'leave', soon })
  }

  /** Rejects when there is no answer within `patience` milliseconds. */
  ask(question: Question, patience: number): Promise<unknown> {
    this.#lastQuestion += 1
    const id = this.#lastQuestion
    return new Promise((resolve, reject) => {
      if (this.#hasEnded) {
        reject(new Error('the worker has ended'))
        return
      }
      const timer = setTimeout(() => {
        this.#pending.delete(id)
        reject(new Error('the worker does not answer'))
      }, patience)
      this.#pending.set(id, { resolve, reject, timer })
      this.tell({ kind: 'question', id, question })
    })
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Ends it once it does not answer any more. */
  async #heed(): Promise<void> {
    const answers = (patience: number) =>
      this.ask({ name: 'alive' }, patience).then(
        () => true,
        () => false
      )
    while (!this.#hasEnded) {
      await sleep(heed.every, undefined, { ref: false })
      if (this.#hasEnded || (await answers(heed.first)) || (await answers(heed.second))) continue
      if (this.#hasEnded) return
      this.ending = 'did not answer any more and was ended'
      this.kill()
      return
    }
  }

  #settle({ id, value, fault }: FromWorker & { readonly kind: 'answer' }): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#pending.delete(id)
    clearTimeout(pending.timer)
    if (fault === undefined) pending.resolve(value)
    else pending.reject(new Error(fault))
  }
}
