import { monitorEventLoopDelay } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { InFlight } from '../in-flight.ts'
import type { Services } from '../services.ts'

/** Milliseconds between two looks. */
const interval = 500
/** Milliseconds between two ticks that show how late the event loop is. */
const resolution = 20

/** How hard the process is at work: measured twice a second for all configs, and read from a field. */
export class Pressure {
  /** Requests under way in the process, whichever config they came in under. */
  readonly underWay = new InFlight()
  readonly #routes = new Map<string, InFlight>()
  readonly #onLook = new Set<() => void>()
  readonly #delays = monitorEventLoopDelay({ resolution })
  // After a stall the timer of the histogram may be due behind this one; it has run by the time of the immediate.
  readonly #timer = setInterval(() => setImmediate(() => this.#look()), interval).unref()
  #lookedAt = performance.now()
  /** Milliseconds by which the event loop was late on the average, of late. */
  delay = 0
  #last = 0
  /** The longest time, in milliseconds, for which the event loop stood still between the last two looks. */
  #stall = 0
  /** How often it stood still longer than the config allows. */
  stalls = 0
  /** How much of the heap that Node may use is used, in percent. */
  heap = 0

  constructor() {
    this.#delays.enable()
  }

  /** Requests under way on a route, by its id. The same before and after a reload. */
  route(id: string): InFlight {
    const known = this.#routes.get(id) ?? new InFlight()
    this.#routes.set(id, known)
    return known
  }

  /** Milliseconds for which the event loop stood still, when that was longer than `bound`: told once, to the first that asks. */
  takeStall(bound: number): number | undefined {
    const stall = this.#stall
    if (stall <= bound) return undefined
    this.#stall = 0
    this.stalls += 1
    return stall
  }

  /** Calls `then` after each look, before those that have followed longer; returns what ends that. */
  follow(then: () => void): () => void {
    this.#onLook.add(then)
    return () => this.#onLook.delete(then)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#delays.disable()
  }

  #look(): void {
    const now = performance.now()
    // The histogram sees a stall whole, but for one that it is told of only after this look, which that made late.
    this.#stall = Math.max(this.#delays.max / 1e6 - resolution, now - this.#lookedAt - interval)
    this.#lookedAt = now
    // A mean, not the worst, and the better of two looks: one long turn is no overload, many in a row are. None at all says nothing new.
    if (this.#delays.count > 0) {
      const mean = Math.max(0, this.#delays.mean / 1e6 - resolution)
      this.delay = Math.min(mean, this.#last)
      this.#last = mean
    }
    this.#delays.reset()
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
    this.heap = (100 * used) / limit
    for (const then of [...this.#onLook].reverse()) then()
  }
}

/** The pressure of this process. */
export const pressureOf = (services: Pick<Services, 'shared'>): Pressure =>
  services.shared(
    'pressure',
    () => new Pressure(),
    (pressure) => pressure.close()
  )
