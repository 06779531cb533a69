import type { Registry } from 'prom-client'
import { registerAsked } from './route-figures.ts'

/** What a service tells of itself when somebody asks. */
export interface ServiceFigures {
  readonly name: string
  readonly figures: Readonly<Record<keyof typeof counters, number>>
  readonly nodes: readonly { readonly state: string; readonly health: string; readonly inFlight: number }[]
}

/** Metric and help of each counter of a service. */
const counters = {
  retries: ['retries_total', 'Requests that were sent to a node once more.'],
  retriesRefused: ['retries_refused_total', 'Retries that were wanted and not in the budget.'],
  ejections: ['ejections_total', 'Times a node was left alone for its failures.'],
  openings: ['breaker_openings_total', 'Times the breaker of a node opened.'],
  unserved: ['unserved_total', 'Requests for which no node could be asked.'],
  panics: ['panics_total', 'Times so many nodes were out that all were asked again.'],
  resolveFailures: ['resolve_failures_total', 'Names of nodes that could not be resolved.']
} as const

/** Counters and states of the services of the config that serves, asked for when somebody reads them. */
export function registerServices(registry: Registry, services: () => readonly ServiceFigures[]): void {
  for (const [key, [suffix, help]] of Object.entries(counters)) {
    const about = { name: `tollkeeper_upstream_${suffix}`, help: `${help.slice(0, -1)}, by service.` }
    registerAsked(registry, { ...about, type: 'counter' }, () =>
      services().map(({ name, figures }) => ({
        labels: { service: name },
        value: figures[key as keyof typeof counters]
      }))
    )
  }
  const nodes = {
    type: 'gauge',
    name: 'tollkeeper_upstream_nodes',
    aggregator: 'max',
    help: 'Nodes, by service, state (up, drain, down) and health (well, ejected, open, failing).'
  } as const
  registerAsked(registry, nodes, () => services().flatMap(nodesOf))
  const inFlight = {
    type: 'gauge',
    name: 'tollkeeper_upstream_in_flight',
    help: 'Requests and WebSockets that nodes have under way, by service.'
  } as const
  registerAsked(registry, inFlight, () =>
    services().map(({ name, nodes }) => ({
      labels: { service: name },
      value: nodes.reduce((sum, node) => sum + node.inFlight, 0)
    }))
  )
}

function nodesOf({ name: service, nodes }: ServiceFigures) {
  const counts = new Map<string, { labels: Record<string, string>; value: number }>()
  for (const { state, health } of nodes) {
    const key = `${state} ${health}`
    const count = counts.get(key) ?? { labels: { service, state, health }, value: 0 }
    count.value += 1
    counts.set(key, count)
  }
  return [...counts.values()]
}
