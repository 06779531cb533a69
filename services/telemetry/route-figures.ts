import type { Metric, Registry } from 'prom-client'

/** Upper bounds of the buckets of every duration, in seconds. */
const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/**
 * How long something took, counted in buckets. It is counted for every request, which is why it is an array that is added to rather
 * than a series that is looked up by its labels.
 */
export class Durations {
  readonly #counts: number[] = Array.from({ length: bounds.length + 1 }, () => 0)
  #sum = 0

  add(milliseconds: number): void {
    const seconds = milliseconds / 1000
    let index = 0
    while (index < bounds.length && seconds > bounds[index]!) index += 1
    this.#counts[index]! += 1
    this.#sum += seconds
  }

  /** Cumulative, as Prometheus wants them. */
  values(name: string, labels: Labels): Value[] {
    let count = 0
    const values: Value[] = bounds.map((le, index) => {
      count += this.#counts[index]!
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count }
    })
    count += this.#counts[bounds.length]!
    values.push({ metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count })
    values.push({ metricName: `${name}_sum`, labels, value: this.#sum })
    values.push({ metricName: `${name}_count`, labels, value: count })
    return values
  }
}

type Labels = Readonly<Record<string, string | number>>

interface Value {
  readonly metricName?: string
  readonly labels: Labels
  readonly value: number
}

interface Cell {
  readonly method: string
  readonly status: number
  count: number
}

/** What is counted for one route. Methods and statuses come from closed lists, so that clients cannot make it grow. */
export class RouteFigures {
  readonly id: string
  readonly durations = new Durations()
  readonly #cells: Cell[] = []
  /** The cell of the request before: mostly that of the next one as well. */
  #last: Cell = { method: '', status: 0, count: 0 }

  constructor(id: string) {
    this.id = id
  }

  count(method: string, status: number, milliseconds: number): void {
    this.durations.add(milliseconds)
    if (this.#last.status !== status || this.#last.method !== method) this.#last = this.#cell(method, status)
    this.#last.count += 1
  }

  get cells(): readonly Cell[] {
    return this.#cells
  }

  #cell(method: string, status: number): Cell {
    const found = this.#cells.find((cell) => cell.status === status && cell.method === method)
    if (found !== undefined) return found
    const cell = { method, status, count: 0 }
    this.#cells.push(cell)
    return cell
  }
}

/** What is known of a metric before anything is counted. */
interface About {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** What several workers make of it together; left out, the sum. */
  readonly aggregator?: 'max' | 'min'
}

/** A metric whose values are asked for when somebody reads them. */
export function registerAsked(registry: Registry, about: About, values: () => Value[]): void {
  const asked = {
    ...about,
    get: async () => ({ aggregator: 'sum', ...about, values: values() }),
    reset: () => {}
  }
  // The package types its own classes only; it reads any object that has `get`.
  registry.registerMetric(asked as unknown as Metric)
}
