import type { Command } from 'commander'
import type { CompiledRoute } from '../../routes/table/route.ts'
import { defaultWindow, type RouteLimit, type RouteLimitOptions } from '../../services/limits/slice.ts'

/** `toll routes`: the routes of the config in the order in which requests try them. */
export function routesCommand(program: Command): void {
  program
    .command('routes')
    .description('list the routes of the config, most exact first')
    .option('--json', 'print the list as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { readConfig } = await import('../read-config.ts')
      const { compileTable } = await import('../../routes/table/compile.ts')
      const { routesInOrder } = await import('../../routes/table/order.ts')
      const loaded = await readConfig(command, json)
      if (loaded === undefined) return
      const { routes } = loaded.value
      const rows = routesInOrder(compileTable(routes)).map((route) => rowOf(route, routes[route.index]))
      process.stdout.write(json ? `${JSON.stringify({ routes: rows })}\n` : table(rows))
    })
}

interface Row {
  readonly id: string
  readonly methods: readonly string[]
  readonly hosts: readonly string[]
  readonly path: string
  readonly service: string
  readonly auth: string
  /** `100/s`, `1000/1d`, `20 at once`. */
  readonly limits: readonly string[]
}

/** What plugins read of a route is typed by them; here it is only shown. */
function rowOf({ id, methods, hosts, path, service }: CompiledRoute, options: unknown): Row {
  const { auth, limit } = options as { auth?: string | { mode?: string }; limit?: RouteLimitOptions }
  const mode = typeof auth === 'object' ? auth.mode : auth
  const limits = limit === undefined ? [] : [limit].flat().map(limitText)
  return { id, methods, hosts, path, service, auth: mode ?? 'required', limits }
}

const limitText = ({ qps, quota, window = defaultWindow, concurrency }: RouteLimit): string => {
  if (qps !== undefined) return `${qps}/s`
  return quota === undefined ? `${concurrency} at once` : `${quota}/${window}`
}

function table(rows: readonly Row[]): string {
  if (rows.length === 0) return 'The config has no routes.\n'
  const cells = [
    ['ROUTE', 'METHODS', 'HOSTS', 'PATH', 'SERVICE', 'AUTH', 'LIMIT'],
    ...rows.map(({ id, methods, hosts, path, service, auth, limits }) => [
      id,
      methods.join(',') || 'any',
      hosts.join(',') || 'any',
      path,
      service,
      auth,
      limits.join(', ') || '-'
    ])
  ]
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  const lines = cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  '))
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}
