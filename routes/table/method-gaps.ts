import type { Report } from '../../config/mistake.ts'
import { atOnce, type Turns } from '../../config/pace.ts'
import { pointerOf } from '../../config/pointer.ts'
import type { Table } from './compile.ts'
import { match } from './match.ts'
import { RouteMemory } from './memory.ts'
import type { CompiledRoute } from './route.ts'
import type { RouteOptions } from './slice.ts'
import { hostOf, pathOf } from './witness.ts'

/** What the check reads of a route; `auth` is declared by the plugin that keeps it. */
type GuardedRoute = RouteOptions & { readonly auth?: string | { readonly mode?: string } }

interface Checked {
  readonly routes: readonly GuardedRoute[]
}

const usual = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/**
 * A method that a guarded route does not list goes on to less exact routes. Where one of them lets anybody in, that is rarely meant,
 * and so it is told, with the request that would get through.
 */
export const methodGaps = (config: Checked, report: Report): void =>
  atOnce(methodGapsWith(new RouteMemory())(config, report))

/** The same, with what is compiled already. */
export const methodGapsWith = (memory: RouteMemory) =>
  function* ({ routes }: Checked, report: Report): Turns<void> {
    const table = tableOrNothing(routes, memory)
    for (const route of table?.routes ?? []) {
      yield
      if (route.methods.length === 0 || isOpen(routes[route.index])) continue
      for (const method of usual.filter((name) => !route.methods.includes(name))) {
        const [winner, url] = winnerOf(table!, route, method)
        if (winner === undefined || winner === route || !isOpen(routes[winner.index])) continue
        report.warning(
          pointerOf('routes', route.index, 'methods'),
          `${method} ${url} is not for "${route.id}" and goes to "${winner.id}", which lets anybody in; list the method here as well if that is not meant`
        )
        break
      }
    }
  }

/** Unreadable routes are told by the check of the table; until they are mended there is nothing to look for. */
function tableOrNothing(routes: readonly RouteOptions[], memory: RouteMemory): Table | undefined {
  try {
    return memory.table(routes)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

const isOpen = (route: GuardedRoute | undefined): boolean => {
  const auth = route?.auth
  const mode = typeof auth === 'object' ? auth.mode : auth
  return mode === 'none' || mode === 'optional'
}

function winnerOf(
  table: Table,
  route: CompiledRoute,
  method: string
): readonly [CompiledRoute | undefined, string] {
  const host = hostOf(table, route.hosts[0])
  const resource = pathOf(route.pattern, 'x')
  const headers = Object.fromEntries(route.headers.map(({ name, value }) => [name, value ?? 'x']))
  const query = new URLSearchParams(
    route.query.map(({ name, value }): [string, string] => [name, value ?? 'x'])
  ).toString()
  const ask = { method, host, resource, query: query === '' ? '' : `?${query}`, headers, allowed: undefined }
  return [match(table, ask), `http://${host}${resource}${ask.query}`]
}
