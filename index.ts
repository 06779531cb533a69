/** What the package exports: a gateway to embed, and what a plugin of one's own is made with. */
export { ConfigError } from './config/mistake.ts'
export { Duration, Size, toBytes, toMilliseconds } from './config/units.ts'
export * as errors from './errors.ts'
export { Gateway, type GatewayOptions } from './gateway.ts'
export {
  definePlugin,
  type Exchange,
  type GatewayPlugin,
  type Principal,
  type RouteInfo,
  type Step
} from './plugins/plugin.ts'
export {
  type DataRead,
  type DataWritten,
  type Kicked,
  maxSessionData,
  type NewSession,
  type Online,
  type Presented,
  type Rotated,
  type RotateOutcome,
  type SessionPolicy,
  type SessionProvider,
  type SessionProviderFactory,
  type SessionRecord,
  type SessionSurroundings,
  type Started,
  type Use
} from './services/identity/sessions/provider.ts'
export {
  type SessionProviderCheck,
  sessionProviderChecks
} from './services/identity/sessions/provider-checks.ts'
export type { Session } from './services/identity/sessions/session.ts'
export {
  type VerifyCompactOptions,
  type VerifyCompactResult,
  verifyCompact
} from './services/identity/tokens/verify-compact.ts'
export type { Services } from './services/services.ts'
export type { Speech } from './services/telemetry/speech.ts'
