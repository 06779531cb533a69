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
  readonly #timer = setInterval(() => this.#look(), interval).unref()
  /** Milliseconds by which the event loop was late on the average, of late. */
  delay = 0
  #last = 0
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

  /** Calls `then` after each look; returns what ends that. */
  follow(then: () => void): () => void {
    this.#onLook.add(then)
    return () => this.#onLook.delete(then)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#delays.disable()
  }

  #look(): void {
    // A mean, not the worst, and the better of two looks: one long turn is no overload, many in a row are. None at all says nothing new.
    if (this.#delays.count > 0) {
      const mean = Math.max(0, this.#delays.mean / 1e6 - resolution)
      this.delay = Math.min(mean, this.#last)
      this.#last = mean
    }
    this.#delays.reset()
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics()
    this.heap = (100 * used) / limit
    for (const then of this.#onLook) then()
  }
}

/** The pressure of this process. */
export const pressureOf = (services: Pick<Services, 'shared'>): Pressure =>
  services.shared(
    'pressure',
    () => new Pressure(),
    (pressure) => pressure.close()
  )
