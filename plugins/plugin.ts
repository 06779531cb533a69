import type { Static, TObject, TSchema } from '@sinclair/typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Problem } from '../errors.ts'
import type { Holder } from '../services/identity/parts.ts'
import type { Session } from '../services/identity/sessions/session.ts'
import type { Limit } from '../services/limits/limit.ts'
import type { Said } from '../services/limits/limits.ts'
import type { Place } from '../services/limits/places.ts'
import type { Messages } from '../services/logs/open.ts'
import type { Sink } from '../services/logs/sink.ts'
import type { Services } from '../services/services.ts'

/**
 * One plugin is one step of the corridor, one file (or folder), and at most one key of gateway.config.json.
 *
 * `slice` is the single source of the key's type, validation, defaults, editor completion and docs page; `route` is the
 * fragment of a route that the plugin reads. Nothing about a plugin is written twice.
 */
export interface GatewayPlugin<
  Key extends string = string,
  Slice extends TSchema = TSchema,
  RouteSlice extends TObject = TObject
> {
  readonly key: Key
  readonly slice?: Slice
  readonly route?: RouteSlice
  /**
   * Called once per config, while the app is built. Hooks added to `app` run for every request, the gateway's own doors
   * included, in the order of plugins/index.ts. A returned function is asked once per configured route, while building, for the
   * step that route's requests take here, or undefined for none: nothing is decided per request that a config decides.
   */
  setup(
    app: FastifyInstance,
    options: Static<Slice>,
    services: Services
  ): undefined | StepOf<RouteSlice> | Promise<undefined | StepOf<RouteSlice>>
}

export type StepOf<RouteSlice extends TObject> = (route: RouteInfo & Static<RouteSlice>) => Step | undefined

/** Lets the request pass by returning, refuses it by throwing a problem of errors.ts. Sync where no I/O is needed. */
export interface Step {
  (request: FastifyRequest, reply: FastifyReply): void | Promise<void>
  /**
   * Decides the same with the same code, throws the same problem, and notes what it rests on; consumes nothing and leaves no trace.
   * A step without it is not asked when a request is explained, nor is one that returns `not asked`.
   */
  readonly explain?: (request: FastifyRequest, note: Note) => Explained | Promise<Explained>
  /** Set where the step can do its part while the one before it asks the store. */
  readonly ahead?: Ahead
  /** Told, while building, of the `ahead` of the step that follows, where nothing between them may refuse a request. */
  readonly precedes?: (ahead: Ahead) => void
}

/**
 * Counts a request of this principal in the operation that looks for `gate`, a key of the store, and only where that is there. Resolves with
 * whether it is; undefined, at once or later, where the store was not asked or does not say.
 */
export type Ahead = (
  request: FastifyRequest,
  principal: Principal,
  gate: string
) => Promise<boolean | undefined> | undefined

// biome-ignore lint/suspicious/noConfusingVoidType: most steps return nothing
type Explained = void | 'not asked'

/** Thrown by `explain` where nothing but doing it would tell; the message says what. */
export class Untold extends Error {}

/** Takes facts for whoever runs the gateway: never a token or a key. */
export type Note = (facts: Readonly<Record<string, unknown>>) => void

/** What every route has, whichever plugins read it. Frozen. */
export interface RouteInfo {
  /** Place in the file. */
  readonly index: number
  readonly id: string
  readonly path: string
  readonly methods: readonly string[]
  readonly service: string
}

/** Who is asking, once `authenticate` let the request pass. */
export type Principal = Holder

/** What the gateway learns about one request on its way through the corridor. */
export interface Exchange {
  /** The route that matched; undefined for the gateway's own doors and for refused paths. */
  route: RouteInfo | undefined
  /** The one normalised path (RFC 3986 6.2.2), without query: what matching, policies and the upstream see. */
  path: string
  /** `path` as policies compare it: without `;params`, every harmless escape decoded. Rules and limits use this one. */
  resource: string
  /** The query with its `?`, as sent; '' without one. */
  query: string
  /** Host the client asked for, lower case, without port. */
  host: string
  /** Host and port as sent, for X-Forwarded-Host and Location. */
  authority: string
  /** The client's address, behind trusted proxies. */
  client: string
  principal: Principal | undefined
  /** `allowed`, or the code of the problem that ended the request. */
  verdict: string
  /** Internal reason of a refusal, for the log and the metrics. */
  reason: string | undefined
  /** What is wrong with the request's framing, target, path or method; thrown by the corridor once the request has its id. */
  refusal: Problem | undefined
  /** True when the peer is a trusted proxy, so that its X-Forwarded-* count (plugins/guard/guard.ts). */
  trusted: boolean
  /** W3C Trace Context header to send on: the client's when it is well formed, else made here. */
  traceparent: string
  /** Node that got the request, by its name in the pool, never its address: for the log. */
  node: string | undefined
  /** Where the request goes when the route has more than one place for it; undefined where it has not. */
  detour: Detour | undefined
  /** Milliseconds from handing the request to a node until its answer's head; undefined when no node was asked. */
  upstreamTime: number | undefined
  /** Whoever answers the request once the corridor let it pass: told when the exchange is over, before anybody counts or logs it. */
  answering: { onClose(): void } | undefined
  /** Told of the headers of the service's answer, flat as they came, before any of it goes on. */
  onAnswer: ((headers: readonly string[]) => void) | undefined
  /** Adds to the answer what was decided about the request, for whoever may know (routes/debug.ts). */
  onDebug: (() => void) | undefined
  /** The route that a CORS preflight asks about, which its own method, OPTIONS, does not lead to. */
  preflight: RouteInfo | undefined
  /** Whether the gateway answers for CORS here, so that no service does (plugins/cors.ts). */
  ownsCors: boolean
  /** Names of limits that would have refused the request and are in the shadow. */
  shadow: string | undefined
  /** What a limit has said ahead of its step. */
  counted: { readonly limit: Limit; readonly said: Said } | undefined
  /** What an upgrade was let in on (plugins/web-sockets.ts); its tunnel takes it over. */
  webSocket: WebSocketTerms | undefined
  /** performance.now() at the first byte of the request seen by the gateway. */
  readonly startedAt: number
}

/** Which service a request was really for: a canary's, or the one that answers in place of another. Never changed, only replaced. */
export interface Detour {
  /** The service that was asked last. */
  readonly service: string
  /** Set on routes with a canary. */
  readonly side: 'stable' | 'canary' | undefined
  /** Why the service itself could not answer, where its fallback was asked. */
  readonly fallback: string | undefined
}

/** What a WebSocket is held to. Whoever opens the tunnel takes it from the exchange, and gives the place back at the tunnel's end. */
export interface WebSocketTerms {
  /** Milliseconds of silence; undefined leaves it to the route. */
  readonly idle: number | undefined
  readonly place: Place
}

/**
 * Called once for each request when its exchange is over, however it ended; `status` is 499 when the client left before the answer,
 * `endedAt` the moment by performance.now().
 */
export type Finisher = (request: FastifyRequest, status: number, endedAt: number) => void

/** One limit of a config, and how it is called. */
export interface PlacedLimit {
  readonly limit: Limit
  /** What clients and operators read. */
  readonly name: string
  /** What is counted by, in words: `subject`, `address + route`, `service`. */
  readonly by: string
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The limits of this config, in the order of its routes. */
    readonly limits: PlacedLimit[]
    /** What to call at the end of each exchange (access log, metrics ...); plugins push to it in `setup`. */
    readonly finishers: Finisher[]
    /** Names of the hooks on payloads that plugins have added so far. */
    readonly payloadHooks: ReadonlySet<string>
    /** Where access lines go, and who is told of the gateway's own messages. */
    readonly accessLog: {
      readonly writer: { write(line: string): void }
      readonly format: 'json' | 'text'
      readonly messages?: Messages
    }
    /** Where access lines go besides, in the order of the config. */
    readonly sinks: readonly Sink[]
  }
  interface FastifyRequest {
    exchange: Exchange
    /**
     * The session of who is asking, with a little data of its own, once `authenticate` let the request pass; undefined for who has
     * none (no sign-in, an API key, a token of another issuer). Costs nothing until it is called, and no store call before `get`.
     */
    userSession(): Session | undefined
  }
}

/** Keeps the literal key and the schemas' types, so that the config's type can be inferred. */
export function definePlugin<
  const Key extends string,
  Slice extends TSchema = TSchema,
  RouteSlice extends TObject = TObject
>(plugin: GatewayPlugin<Key, Slice, RouteSlice>): GatewayPlugin<Key, Slice, RouteSlice> {
  return plugin
}
