import { AggregatorRegistry } from 'prom-client'
import type { Figures } from './messages.ts'

/** Figures that say how it is, not how often something was: they end with the process that they are about. */
const isState = ({ type }: { readonly type: unknown }): boolean => String(type) === 'gauge'

const sum = (all: readonly Figures[]) => AggregatorRegistry.aggregate(all as Figures[][number][])

/** The metrics of several processes as one. What those have counted that are gone stays, for a counter must not fall. */
export class Tally {
  #gone: Figures = []
  #keeping: Promise<void> = Promise.resolve()

  /** Keeps what a process has counted that has ended. */
  keep(figures: Figures): void {
    const counted = figures.filter((metric) => !isState(metric))
    this.#keeping = this.#keeping.then(async () => {
      this.#gone = (await sum([this.#gone, counted]).getMetricsAsJSON()) as Figures
    })
  }

  /** As text for Prometheus. */
  async text(present: () => readonly Figures[]): Promise<string> {
    await this.#keeping
    return sum([...present(), this.#gone]).metrics()
  }
}
