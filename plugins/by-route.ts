import type { RouteInfo } from './plugin.ts'

/**
 * Something for each route of one config, found by the route's place in the file. A Map would hash the route and look through a bucket, which
 * with thousands of routes are two more places in memory that no cache holds; routes are shared between configs, so they cannot carry it.
 */
export class ByRoute<Value> {
  readonly #values: (Value | undefined)[] = []

  get({ index }: Pick<RouteInfo, 'index'>): Value | undefined {
    return this.#values[index]
  }

  set({ index }: Pick<RouteInfo, 'index'>, value: Value): void {
    // Without holes, whatever the order.
    while (this.#values.length <= index) this.#values.push(undefined)
    this.#values[index] = value
  }

  some(holds: (value: Value) => boolean): boolean {
    return this.#values.some((value) => value !== undefined && holds(value))
  }
}
