import type { Test } from 'tap'
import type { Teardown } from '../../support/load/listen.ts'
import { type Load, startLoad } from '../../support/load/load.ts'
import { type OwnProcess, startOwnProcess } from '../../support/own-process.ts'
import { type RedisServer, startRedis } from '../../support/redis.ts'
import { startWay, type Way } from './way.ts'

/** The limit of every route of a site. */
export const limit = { qps: 100, slack: 10, by: 'route' } as const

/** Routes of a site by what makes their limits differ. */
export const routes = {
  '/local': {},
  '/open': { onStoreError: 'open' },
  '/closed': { onStoreError: 'closed' },
  '/leased': { scope: 'leased' }
} as const

/** Gateways on one Redis, with a load for them. */
export interface Site {
  readonly redis: RedisServer
  /** On the way from the gateways to their Redis, where the site has one. */
  readonly way: Way | undefined
  readonly gateways: readonly OwnProcess[]
  readonly load: Load
}

export async function startSite(
  t: Teardown,
  { gateways, isOnTheWay = false }: { readonly gateways: number; readonly isOnTheWay?: boolean }
): Promise<Site> {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const way = isOnTheWay ? await startWay(t, redis.port) : undefined
  const load = await startLoad(t)
  const config = {
    store: { driver: 'redis', url: `redis://127.0.0.1:${way?.port ?? redis.port}` },
    services: { up: { nodes: [load.upstream] } },
    routes: Object.entries(routes).map(([path, more]) => ({
      id: path.slice(1),
      path,
      service: 'up',
      auth: 'none',
      limit: { ...limit, ...more }
    }))
  }
  const started = Array.from({ length: gateways }, () => startOwnProcess(t as Test, config))
  return { redis, way, gateways: await Promise.all(started), load }
}

/** A figure of a gateway's metrics: the sum of all series whose line begins so. */
export async function figure({ admin }: OwnProcess, begin: string): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`, { signal: AbortSignal.timeout(5000) })).text()
  const lines = text.split('\n').filter((line) => line.startsWith(begin))
  if (lines.length === 0) return Number.NaN
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** Requests to the first route that gateways have let through by their own share of the limit. */
export async function decidedAlone({ gateways }: Site): Promise<number> {
  const begin = 'tollkeeper_limit_decisions_total{limit="route:local",by="local",verdict="allowed"'
  // A figure that is not there yet is none.
  const each = await Promise.all(gateways.map(async (gateway) => (await figure(gateway, begin)) || 0))
  return each.reduce((sum, one) => sum + one, 0)
}

/** Gateways that count for themselves because they take the store to be away. */
export async function away({ gateways }: Site): Promise<number> {
  const each = await Promise.all(gateways.map((gateway) => figure(gateway, 'tollkeeper_limits_store_away ')))
  return each.reduce((sum, one) => sum + one, 0)
}

/** Gateways that each believes to share the limits with. */
export const known = ({ gateways }: Site): Promise<number[]> =>
  Promise.all(gateways.map((gateway) => figure(gateway, 'tollkeeper_limits_gateways ')))

/** When gateways lost their store or had it back since a moment, as they logged it: "+12 ms gateway 1 away". */
export function turns({ gateways }: Site, since: number): string[] {
  const all: { readonly time: number; readonly words: string }[] = []
  for (const [index, gateway] of gateways.entries()) {
    for (const line of gateway.log().split('\n')) {
      const [, turn] = /"msg":"the store (does not answer in time|answers again)/.exec(line) ?? []
      if (turn === undefined) continue
      const time = Date.parse((JSON.parse(line) as { time: string }).time) - since
      const what = turn === 'answers again' ? 'back' : 'away'
      if (time >= 0) all.push({ time, words: `${time} ms: gateway ${index + 1} ${what}` })
    }
  }
  return all.sort((a, b) => a.time - b.time).map(({ words }) => words)
}
