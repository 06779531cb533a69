import type { Gate } from './candidates.ts'
import type { Load } from './load.ts'

/** How much CPU ours may use, as a share of another's in the same run. */
export type Targets = Readonly<Record<string, number>>

/** What ours promises besides CPU. */
export interface Bounds {
  /** p99 at most this share of a rival's. */
  readonly p99?: Targets
  /** Resident MiB after the load. */
  readonly memory?: number
  /** CPU at most this many times that of ours in another scenario of the same run. */
  readonly own?: Targets
}

export interface Scenario {
  readonly id: string
  readonly title: string
  readonly load: Load
  readonly gate: Gate
  readonly routes: number
  readonly targets: Targets
  /** No scenario may have a failed request; these come on top. */
  readonly bounds?: Bounds
}

const plain = { gate: 'none', routes: 0 } as const

/** What is measured. The targets are what the project promises of itself, asserted by `npm run bench:check` with some slack. */
export const scenarios: readonly Scenario[] = [
  {
    ...plain,
    id: 'S1',
    title: 'GET, 128 bytes',
    load: 'get',
    targets: { nginx: 2.4, 'naive Fastify': 0.36, Caddy: 0.45, 'fast-gateway': 0.4 }
  },
  {
    id: 'S2',
    title: 'GET with a token',
    load: 'token',
    gate: 'token',
    routes: 0,
    targets: { nginx: 2.7, 'naive Fastify': 0.3, 'nginx+lua': 1.4 }
  },
  {
    id: 'S3',
    title: 'GET with a token, a session and a limit per user in Redis',
    load: 'token',
    gate: 'session',
    routes: 0,
    targets: { nginx: 3, 'naive Fastify': 0.3, 'nginx+lua': 0.65 }
  },
  {
    id: 'S3-leased',
    title: 'GET with a token, a session and a limit per user, ours taken from Redis in stock',
    load: 'token',
    gate: 'session-leased',
    routes: 0,
    targets: { nginx: 2.7, 'naive Fastify': 0.27, 'nginx+lua': 0.58 }
  },
  {
    id: 'S3-local',
    title: 'GET with a token, a session and a limit per user, ours counted by the process',
    load: 'token',
    gate: 'session-local',
    routes: 0,
    targets: { nginx: 2.7, 'naive Fastify': 0.27, 'nginx+lua': 0.58 }
  },
  {
    ...plain,
    id: 'S4',
    title: 'POST, 10 KiB there and back',
    load: 'post',
    targets: { nginx: 2.9, 'naive Fastify': 0.4 }
  },
  {
    ...plain,
    id: 'S5',
    title: 'GET, 1 MiB',
    load: 'large',
    targets: { nginx: 1, 'naive Fastify': 0.6 },
    bounds: { p99: { 'naive Fastify': 0.5 } }
  },
  {
    id: 'S6',
    title: 'GET over 1,000 routes',
    load: 'routes',
    gate: 'none',
    routes: 1000,
    targets: { nginx: 2.4, 'naive Fastify': 0.3 },
    bounds: { memory: 130, own: { S1: 1.15 } }
  },
  {
    ...plain,
    id: 'S7',
    title: 'GET, a connection each',
    load: 'close',
    targets: { nginx: 3.8, 'naive Fastify': 0.75 }
  }
]
