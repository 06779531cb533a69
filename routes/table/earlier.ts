import type { CompiledRoute, Condition } from './route.ts'

/** Who leaves a route nothing, or is its equal. */
export interface Hidden {
  readonly by: CompiledRoute
  readonly isTie: boolean
}

interface Placed {
  readonly route: CompiledRoute
  readonly place: number
}

/** Routes with the same conditions, of which only the first for each method counts. */
interface Group {
  readonly conditions: readonly string[]
  readonly first: Placed
  /** The first that takes any method. */
  any: Placed | undefined
  readonly methods: Map<string, Placed>
}

/** With more conditions than this, the groups are looked through instead of made up: their number doubles or trebles with each. */
const maxConditions = 6

/**
 * The routes of one path that are asked before another one, found by what they ask for: thousands may differ in one header, and none
 * needs to be compared with all the others.
 */
export class Earlier {
  readonly #groups = new Map<string, Group>()
  #count = 0

  constructor(routes: readonly CompiledRoute[] = []) {
    for (const route of routes) this.add(route)
  }

  add(route: CompiledRoute): void {
    const placed = { route, place: this.#count }
    this.#count += 1
    const conditions = conditionsOf(route)
    const key = keyOf(conditions)
    let group = this.#groups.get(key)
    if (group === undefined) {
      group = { conditions, first: placed, any: undefined, methods: new Map() }
      this.#groups.set(key, group)
    }
    if (route.methods.length === 0) group.any ??= placed
    for (const method of route.methods) if (!group.methods.has(method)) group.methods.set(method, placed)
  }

  /** The first that nothing but the order of the file tells from `route`. */
  equal(route: CompiledRoute): CompiledRoute | undefined {
    const group = this.#groups.get(keyOf(conditionsOf(route)))
    if (group === undefined) return undefined
    const found =
      route.methods.length === 0 ? [group.any] : route.methods.map((name) => group.methods.get(name))
    return firstOf(found)
  }

  /** The groups whose conditions every request meets that meets those of `route`. */
  wider(route: CompiledRoute): readonly Group[] {
    if (this.#groups.size === 0) return []
    const own = conditionsOf(route)
    if (own.length > maxConditions) {
      const implied = new Set([...own, ...own.map(anyValue)])
      return [...this.#groups.values()].filter(({ conditions }) =>
        conditions.every((one) => implied.has(one))
      )
    }
    const keys = new Set(choices(own).map(keyOf))
    return [...keys].flatMap((key) => this.#groups.get(key) ?? [])
  }
}

/** What `earlier` leaves of a route, in their order; `own` are those of the same kind of path. */
export function hidden(
  route: CompiledRoute,
  earlier: readonly Earlier[],
  own: Earlier | undefined
): Hidden | undefined {
  const equal = own?.equal(route)
  if (equal !== undefined) return { by: equal, isTie: true }
  const wider = earlier.map((one) => one.wider(route))
  for (const groups of wider) {
    const all = firstOf(groups.map(({ any }) => any))
    if (all !== undefined) return { by: all, isTie: false }
  }
  const { methods } = route
  const isCovered = methods.every((method) =>
    wider.some((groups) => groups.some((one) => one.methods.has(method)))
  )
  if (methods.length === 0 || !isCovered) return undefined
  const by = wider
    .map((groups) => firstOf(groups.map(({ first }) => first)))
    .find((first) => first !== undefined)
  return by && { by, isTie: false }
}

function firstOf(placed: readonly (Placed | undefined)[]): CompiledRoute | undefined {
  let first: Placed | undefined
  for (const one of placed)
    if (one !== undefined && (first === undefined || one.place < first.place)) first = one
  return first?.route
}

const keyOf = (conditions: readonly string[]): string => conditions.join('\n')

/** Each condition as a line, sorted; one that another one implies is left out. */
function conditionsOf({ headers, query }: CompiledRoute): readonly string[] {
  return plain([...headers.map((one) => lineOf('header', one)), ...query.map((one) => lineOf('query', one))])
}

const lineOf = (kind: string, { name, value }: Condition): string =>
  JSON.stringify([kind, name, value ?? null])

/** The same condition with any value. */
const anyValue = (line: string): string => {
  const [kind, name] = JSON.parse(line) as [string, string, string | null]
  return JSON.stringify([kind, name, null])
}

function plain(lines: readonly string[]): readonly string[] {
  if (lines.length < 2) return lines
  const exact = new Set(lines.filter((line) => line !== anyValue(line)).map(anyValue))
  return [...new Set(lines)].filter((line) => !exact.has(line)).sort()
}

/** Every set of conditions that these imply: each may be there, be there with any value, or be left out. */
function choices(lines: readonly string[]): readonly (readonly string[])[] {
  const found = lines.reduce<readonly (readonly string[])[]>(
    (sets, line) => sets.flatMap((set) => [set, [...set, line], [...set, anyValue(line)]]),
    [[]]
  )
  return found.map(plain)
}
