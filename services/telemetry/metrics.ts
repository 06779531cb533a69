import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { type LimitState, registerLimits } from './limit-figures.ts'
import { Durations, RouteFigures, registerAsked } from './route-figures.ts'
import { registerServices, type ServiceFigures } from './service-figures.ts'
import { registerSinks, type SinkState } from './sink-figures.ts'

/** Pairs of code and reason that refusals are told apart by, at most. */
const mostRefusalKinds = 1000

/** The process's counters, for Prometheus. Labels come from the config or from closed lists, so that clients cannot add series. */
export class Metrics {
  readonly registry = new Registry()
  readonly #options = { registers: [this.registry] }

  readonly #refusalKinds = new Set<string>()
  readonly #routes = new Map<string, RouteFigures>()
  readonly #services = new Map<string, Durations>()
  readonly #held = new Set<Names>()
  #pools: readonly ServiceFigures[] = []
  #limits: LimitState | undefined
  #sinks: readonly SinkState[] = []
  readonly #refusals = new Counter({
    ...this.#options,
    name: 'tollkeeper_refusals_total',
    help: 'Requests the gateway refused or failed itself, by problem code and internal reason.',
    labelNames: ['code', 'reason'] as const
  })
  readonly connections = new Gauge({
    ...this.#options,
    name: 'tollkeeper_client_connections',
    help: 'Connections of clients that are open, WebSockets among them, by listener (public, admin).',
    labelNames: ['listener'] as const
  })
  readonly connectionsRefused = new Counter({
    ...this.#options,
    name: 'tollkeeper_client_connections_refused_total',
    help: 'Connections closed before anything of them was read, by listener and reason (too_many, too_many_of_address).',
    labelNames: ['listener', 'reason'] as const
  })
  readonly slowReaders = new Counter({
    ...this.#options,
    name: 'tollkeeper_slow_readers_cut_total',
    help: 'Connections cut off because the client took nothing of what was ready for it, by listener.',
    labelNames: ['listener'] as const
  })
  readonly canaries = new Counter({
    ...this.#options,
    name: 'tollkeeper_canary_requests_total',
    help: 'Requests to routes with a canary, by route, side (stable, canary) and status.',
    labelNames: ['route', 'side', 'status'] as const
  })
  readonly mirrors = new Counter({
    ...this.#options,
    name: 'tollkeeper_mirrored_requests_total',
    help: "Copies of requests, by route and outcome: the answer's class (2xx ...), failed, timeout, or why none was sent (busy, body_size, client_left).",
    labelNames: ['route', 'outcome'] as const
  })
  readonly fallbacks = new Counter({
    ...this.#options,
    name: 'tollkeeper_fallbacks_total',
    help: 'Requests that a fallback took over, by service, fallback (a service, or "static") and why the service could not be asked.',
    labelNames: ['service', 'fallback', 'reason'] as const
  })
  readonly #reloads = new Counter({
    ...this.#options,
    name: 'tollkeeper_config_reloads_total',
    help: 'Configurations read, by outcome (applied, unchanged, refused).',
    labelNames: ['outcome'] as const
  })
  readonly #configGood = new Gauge({
    ...this.#options,
    name: 'tollkeeper_config_last_reload_successful',
    aggregator: 'min',
    help: '1 while the file on disk is the one that serves, 0 while a newer one was refused.'
  })
  readonly #revocationLag = new Gauge({
    ...this.#options,
    name: 'tollkeeper_revocations_lag_seconds',
    aggregator: 'max',
    help: 'Seconds since the store was heard of: how old the knowledge of what is revoked may be.'
  })
  readonly #revocationEntries = new Gauge({
    ...this.#options,
    name: 'tollkeeper_revocations_entries',
    aggregator: 'max',
    help: 'Revocations in force at this gateway, by kind.',
    labelNames: ['kind'] as const
  })
  readonly #revocationOutbox = new Gauge({
    ...this.#options,
    name: 'tollkeeper_revocations_outbox_length',
    help: 'What was revoked here and the store could not be told yet.'
  })
  readonly #staleServed = new Counter({
    ...this.#options,
    name: 'tollkeeper_stale_requests_served_total',
    help: 'Requests that passed while the list of revocations was stale (onStale "open" or "degraded").'
  })

  readonly #bansActive = new Gauge({
    ...this.#options,
    name: 'tollkeeper_bans_active',
    aggregator: 'max',
    help: 'Networks that are shut out, as this gateway knows them.'
  })
  readonly #bansPlaced = new Counter({
    ...this.#options,
    name: 'tollkeeper_bans_placed_total',
    help: 'Bans that this gateway has placed (run "real"), or would have placed (run "dry").',
    labelNames: ['run'] as const
  })
  readonly #signals = new Counter({
    ...this.#options,
    name: 'tollkeeper_guard_signals_total',
    help: 'What spoke against clients (guard.detect), by signal.',
    labelNames: ['signal'] as const
  })
  readonly #stalls = new Counter({
    ...this.#options,
    name: 'tollkeeper_event_loop_stalls_total',
    help: 'Times the event loop stood still longer than pressure.stall.'
  })

  constructor() {
    collectDefaultMetrics({ register: this.registry, prefix: 'tollkeeper_' })
    const routes = this.#routes
    const requests = {
      type: 'counter',
      name: 'tollkeeper_requests_total',
      help: 'Requests answered, by route ("-" is none), method and status.'
    } as const
    registerAsked(this.registry, requests, () =>
      [...routes.values()].flatMap(({ id: route, cells }) =>
        cells.map(({ method, status, count }) => ({ labels: { route, method, status }, value: count }))
      )
    )
    const duration = {
      type: 'histogram',
      name: 'tollkeeper_request_duration_seconds',
      help: 'Time from the request head to the end of the answer, by route.'
    } as const
    registerAsked(this.registry, duration, () =>
      [...routes.values()].flatMap(({ id, durations }) => durations.values(duration.name, { route: id }))
    )
    const upstream = {
      type: 'histogram',
      name: 'tollkeeper_upstream_duration_seconds',
      help: "Time a node took to give its answer's head, by service."
    } as const
    registerAsked(this.registry, upstream, () =>
      [...this.#services].flatMap(([service, durations]) => durations.values(upstream.name, { service }))
    )
    registerServices(this.registry, () => this.#pools)
    registerLimits(this.registry, () => this.#limits)
    registerSinks(this.registry, () => this.#sinks)
  }

  /** Takes over which services there are at this moment. */
  noteServices(services: readonly ServiceFigures[]): void {
    this.#pools = services
  }

  /** Counts a refusal. A plugin of somebody else may make codes and reasons up: past the bound all further ones are one. */
  countRefusal(code: string, reason: string | undefined): void {
    const kind = `${code} ${reason ?? '-'}`
    if (!this.#refusalKinds.has(kind)) {
      if (this.#refusalKinds.size >= mostRefusalKinds) {
        this.#refusals.inc({ code: 'other', reason: 'other' })
        return
      }
      this.#refusalKinds.add(kind)
    }
    this.#refusals.inc({ code, reason: reason ?? '-' })
  }

  /** Counts a config that was read, and tells whether it is the one that serves. */
  noteReload(outcome: 'applied' | 'unchanged' | 'refused'): void {
    this.#reloads.inc({ outcome })
    this.#configGood.set(outcome === 'refused' ? 0 : 1)
  }

  /** Takes over how often each signal was noted. */
  noteSignals(figures: Readonly<Record<string, number>>): void {
    this.#signals.reset()
    for (const [signal, count] of Object.entries(figures)) this.#signals.inc({ signal }, count)
  }

  /** Takes over how often the event loop stood still. */
  noteStalls(count: number): void {
    this.#stalls.reset()
    this.#stalls.inc(count)
  }

  /** Takes over how many bans there are. */
  noteBans({ active, placed, dry }: BanFigures): void {
    this.#bansActive.set(active)
    this.#bansPlaced.reset()
    this.#bansPlaced.inc({ run: 'real' }, placed)
    this.#bansPlaced.inc({ run: 'dry' }, dry)
  }

  /** Takes over how the limits stand at this moment. */
  noteLimits(state: LimitState): void {
    this.#limits = state
  }

  /** Takes over where the access log goes at this moment. */
  noteSinks(sinks: readonly SinkState[]): void {
    this.#sinks = sinks
  }

  /** The figures of a route by its id; "-" for requests that met none. The same before and after a reload. */
  route(id: string): RouteFigures {
    return found(this.#routes, id, () => new RouteFigures(id))
  }

  /** How long the nodes of a service take to begin an answer. */
  service(name: string): Durations {
    return found(this.#services, name, () => new Durations())
  }

  /** A config has these. */
  hold(names: Names): void {
    this.#held.add(names)
  }

  /** A config is gone, and with it the figures of what no other one has: they would be more with each. */
  async release(names: Names): Promise<void> {
    this.#held.delete(names)
    const isGone = (kind: keyof Names) => (name: string) =>
      ![...this.#held].some((held) => held[kind].has(name))
    const isRouteGone = isGone('routes')
    const isServiceGone = isGone('services')
    for (const id of this.#routes.keys()) if (id !== '-' && isRouteGone(id)) this.#routes.delete(id)
    for (const name of this.#services.keys()) if (isServiceGone(name)) this.#services.delete(name)
    await Promise.all([
      drop(this.canaries, 'route', isRouteGone),
      drop(this.mirrors, 'route', isRouteGone),
      drop(this.fallbacks, 'service', isServiceGone)
    ])
  }

  /** Takes over what is known of the revocations at this moment. */
  noteRevocations({ lag, pending, served, entries }: RevocationFigures): void {
    this.#revocationLag.set(lag)
    this.#revocationOutbox.set(pending)
    for (const [kind, count] of Object.entries(entries)) this.#revocationEntries.set({ kind }, count)
    this.#staleServed.reset()
    this.#staleServed.inc(served)
  }

  close(): void {
    this.registry.clear()
  }
}

function found<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}

/** Removes the series that have such a label. */
async function drop<Label extends string>(
  counter: Counter<Label>,
  label: NoInfer<Label>,
  isGone: (name: string) => boolean
): Promise<void> {
  const { values } = await counter.get()
  for (const { labels } of values) if (isGone(String(labels[label]))) counter.remove(labels)
}

/** What a config has that figures are told by. */
export interface Names {
  readonly routes: Pick<ReadonlySet<string>, 'has'>
  readonly services: Pick<ReadonlySet<string>, 'has'>
}

interface BanFigures {
  readonly active: number
  readonly placed: number
  readonly dry: number
}

interface RevocationFigures {
  /** Seconds. */
  readonly lag: number
  readonly pending: number
  readonly served: number
  readonly entries: Readonly<Record<string, number>>
}
