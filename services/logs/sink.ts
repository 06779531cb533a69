import { type Delivery, type DeliveryError, deliveryError } from './delivery.ts'
import type { SinkFigures } from './figures.ts'
import { type Line, LineQueue } from './line-queue.ts'

/** All in milliseconds and bytes. */
export interface SinkTerms {
  readonly name: string
  readonly kind: string
  /** Share of the lines offered as ordinary that are taken. */
  readonly sample: number
  readonly maxBytes: number
  readonly batch: { readonly maxLines: number; readonly maxBytes: number; readonly linger: number }
  /** For one batch. */
  readonly timeout: number
  /** For everything, at the end. */
  readonly flush: number
}

export interface SinkSurroundings {
  readonly figures: SinkFigures
  /** Told when a sink stops or begins again to take lines; `why` it stopped. */
  readonly onChange: (sink: Sink, why: string | undefined) => void
  readonly random?: () => number
}

/** `new` until the first batch, `up` while the last one was taken, `down` while it was not. */
export type SinkState = 'new' | 'up' | 'down'

const shortestPause = 200
const longestPause = 5000
/** Between two batches of many that wait. */
const longestRest = 50
/** However long the other side asks to be left alone. */
const longestAsked = 60_000
/** Milliseconds that letting go may take. */
const closeTimeout = 1000

/**
 * Takes finished lines at once and hands them over in batches, in order, one batch at a time. Whoever offers a line never waits and is
 * never told: what does not fit is dropped, the oldest first, and what is not taken is tried again, for as long as it takes. A batch
 * that was taken and not confirmed is handed over twice.
 */
export class Sink {
  readonly name: string
  readonly kind: string
  readonly figures: SinkFigures
  readonly #terms: SinkTerms
  readonly #delivery: Delivery
  readonly #queue: LineQueue
  readonly #onChange: SinkSurroundings['onChange']
  readonly #random: () => number
  /** Lines of the next batch, fewer after one that was too large. */
  #most: number
  #timer: NodeJS.Timeout | undefined
  #working: Promise<void> | undefined
  /** The batch that is being handed over. */
  #underWay: AbortController | undefined
  /** Ends a pause. */
  #wake: (() => void) | undefined
  #closing: Promise<number> | undefined
  /** Nothing is handed over any more. */
  #isOver = false
  #state: SinkState = 'new'
  #lastError: { readonly at: string; readonly why: string } | undefined
  /** Failures in a row. */
  #failures = 0

  constructor(
    terms: SinkTerms,
    delivery: Delivery,
    { figures, onChange, random = Math.random }: SinkSurroundings
  ) {
    this.name = terms.name
    this.kind = terms.kind
    this.figures = figures
    this.#terms = terms
    this.#delivery = delivery
    this.#queue = new LineQueue(terms.maxBytes)
    this.#onChange = onChange
    this.#random = random
    this.#most = terms.batch.maxLines
  }

  get state(): SinkState {
    return this.#state
  }

  /** Lines that wait or are on their way. */
  get queued(): number {
    return this.#queue.length
  }

  get queuedBytes(): number {
    return this.#queue.bytes
  }

  /** When the last batch was not taken and why; undefined while none has failed. */
  get lastError(): { readonly at: string; readonly why: string } | undefined {
    return this.#lastError
  }

  /** Takes one finished line, without its newline. An ordinary one is subject to the sample. */
  offer(line: string, isOrdinary = false): void {
    const { sample, batch } = this.#terms
    if (isOrdinary && sample < 1 && this.#random() >= sample) {
      this.figures.sampled += 1
      return
    }
    if (this.#closing !== undefined) {
      this.figures.dropped += 1
      return
    }
    this.figures.dropped += this.#queue.push(line)
    if (this.#working !== undefined) return
    if (this.#queue.waiting >= batch.maxLines || this.#queue.waitingBytes >= batch.maxBytes) this.#work()
    else this.#timer ??= setTimeout(() => this.#work(), batch.linger).unref()
  }

  /** Hands over what waits for as long as `flush` says, drops the rest, and lets go of the sink. Resolves with how many were dropped. */
  close(): Promise<number> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<number> {
    const deadline = setTimeout(() => {
      this.#isOver = true
      this.#wake?.()
      this.#underWay?.abort()
    }, this.#terms.flush)
    this.#wake?.()
    while (this.#queue.length > 0 && !this.#isOver) {
      this.#work()
      await this.#working
    }
    this.#isOver = true
    clearTimeout(deadline)
    clearTimeout(this.#timer)
    const left = this.#queue.clear()
    this.figures.dropped += left
    await within(closeTimeout, this.#delivery.close())
    return left
  }

  #work(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#queue.waiting === 0) return
    this.#working ??= this.#handOver().finally(() => {
      this.#working = undefined
      if (this.#queue.waiting > 0 && this.#closing === undefined) {
        this.#timer = setTimeout(() => this.#work(), this.#terms.batch.linger).unref()
      }
    })
  }

  /** Batch by batch, until what is left may wait for more. */
  async #handOver(): Promise<void> {
    const { maxLines, maxBytes } = this.#terms.batch
    // Not in the turn of the request whose line was the last one needed.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#queue.waiting > 0 && !this.#isOver) {
      const began = performance.eventLoopUtilization()
      const outcome = await this.#try(this.#queue.take(this.#most, maxBytes))
      if (outcome === 'taken') {
        if (this.#closing !== undefined) continue
        const isFull = this.#queue.waiting >= maxLines || this.#queue.waitingBytes >= maxBytes
        if (!isFull) return
        // Whoever catches up leaves as much time to requests as it took from them.
        await this.#sleep(Math.min(performance.eventLoopUtilization(began).active, longestRest))
      } else if (outcome !== 'taken apart') await this.#pause(outcome.after)
    }
  }

  async #try(batch: readonly Line[]): Promise<'taken' | 'taken apart' | DeliveryError> {
    const { figures } = this
    try {
      await this.#deliver(batch)
    } catch (thrown) {
      const error = deliveryError(thrown)
      if (error.retry === 'too large' && batch.length > 1) {
        this.#queue.putBack(batch)
        this.#most = Math.ceil(batch.length / 2)
        return 'taken apart'
      }
      if (error.retry === 'again') this.#queue.putBack(batch)
      else {
        this.#queue.settle(batch)
        figures.failed += batch.length
      }
      this.#noteFailure(error)
      return error
    }
    this.#queue.settle(batch)
    figures.sent += batch.length
    this.#most = Math.min(this.#terms.batch.maxLines, this.#most * 2)
    this.#failures = 0
    this.#become('up')
    return 'taken'
  }

  /** Ends in time, also where the delivery does not. */
  async #deliver(batch: readonly Line[]): Promise<void> {
    const controller = new AbortController()
    const { signal } = controller
    const timer = setTimeout(() => controller.abort(), this.#terms.timeout)
    this.#underWay = controller
    try {
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
        this.#delivery.deliver(batch, signal).then(resolve, reject)
      })
    } finally {
      clearTimeout(timer)
      this.#underWay = undefined
    }
  }

  #noteFailure({ message }: DeliveryError): void {
    this.#lastError = { at: new Date().toISOString(), why: message }
    this.#become('down', message)
  }

  #become(state: SinkState, why?: string): void {
    const before = this.#state
    this.#state = state
    if (before === state || (before === 'new' && state === 'up')) return
    this.#onChange(this, why)
  }

  /** Longer after each failure, and never at the same time at all gateways; at the end there is no time for long ones. */
  async #pause(asked = 0): Promise<void> {
    const growing = Math.min(longestPause, shortestPause * 2 ** Math.min(this.#failures, 10))
    this.#failures += 1
    const spread = growing * (0.8 + 0.2 * this.#random())
    const pause =
      this.#closing === undefined ? Math.max(spread, Math.min(asked, longestAsked)) : shortestPause
    await this.#sleep(pause)
  }

  /** Ends early when the sink is closed. */
  async #sleep(ms: number): Promise<void> {
    if (this.#isOver) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      if (this.#closing === undefined) timer.unref()
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = undefined
  }
}

/** Resolves when the work is done, failed, or took too long. */
async function within(milliseconds: number, work: void | Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds)
  })
  await Promise.race([Promise.resolve(work).catch(() => {}), late])
  clearTimeout(timer)
}
