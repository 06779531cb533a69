import createError, { type FastifyError } from '@fastify/error'

/** Who has to act for the failure to go away. */
export type Fault = 'client' | 'upstream' | 'gateway'

export interface Details {
  /** Internal reason: goes to the log and a metric label, never to the client. snake_case or dotted. */
  readonly reason?: string
  /** Response headers that belong to this refusal (Retry-After, WWW-Authenticate, Allow ...). */
  readonly headers?: Readonly<Record<string, string>>
  /** Further members of the problem that the client gets (RFC 9457 3.2); never a value that was sent. */
  readonly members?: Readonly<Record<string, unknown>>
  /** What was caught. Logged under the request id, never returned. */
  readonly cause?: unknown
}

/** What the gateway answers when it refuses or fails a request; rendered in plugins/problem.ts only. */
export interface Problem extends Omit<FastifyError, 'cause'>, Details {
  readonly statusCode: number
  readonly fault: Fault
  readonly retryable: boolean
}

export interface ProblemKind {
  readonly code: string
  readonly status: number
  readonly sentence: string
  readonly fault: Fault
  readonly retryable: boolean
  /** Makes one problem: the values for the sentence's %s, then what the log and the reply headers need. */
  (values?: readonly (string | number)[], details?: Details): Problem
}

/** Every kind of problem, in the order of docs/errors.md. */
export const problems: ProblemKind[] = []

function kind(code: string, status: number, fault: Fault, retryable: boolean, sentence: string): ProblemKind {
  const Base = createError(code, sentence, status, Error, false)
  const make = (values: readonly (string | number)[] = [], details: Details = {}): Problem => {
    const problem = new Base(...values)
    return Object.assign(problem, { fault, retryable }, details) as unknown as Problem
  }
  const made = Object.assign(make, { code, status, sentence, fault, retryable })
  problems.push(made)
  return made
}

export const isProblem = (error: unknown): error is Problem =>
  error instanceof Error && 'fault' in error && 'statusCode' in error && 'code' in error

export const BadRequest = kind('BAD_REQUEST', 400, 'client', false, '%s')
export const ValidationFailed = kind(
  'VALIDATION_FAILED',
  400,
  'client',
  false,
  'The request is not as this route wants it: %s.'
)
export const AmbiguousPath = kind(
  'AMBIGUOUS_PATH',
  400,
  'client',
  false,
  'The path was refused: %s. Send it in its normal form.'
)
export const AmbiguousRequest = kind(
  'AMBIGUOUS_REQUEST',
  400,
  'client',
  false,
  'The request was refused: %s.'
)
export const Unauthenticated = kind('UNAUTHENTICATED', 401, 'client', false, '%s')
export const InvalidCredentials = kind(
  'INVALID_CREDENTIALS',
  401,
  'client',
  false,
  'The user name or the password is wrong.'
)
export const InvalidGrant = kind(
  'INVALID_GRANT',
  400,
  'client',
  false,
  'The refresh token is not valid any more; sign in again.'
)
export const Forbidden = kind('FORBIDDEN', 403, 'client', false, '%s')
export const SessionLimit = kind(
  'SESSION_LIMIT',
  403,
  'client',
  false,
  'This user has as many sessions as are allowed; end one of them first.'
)
export const PasswordChangeNeeded = kind(
  'PASSWORD_CHANGE_NEEDED',
  403,
  'client',
  false,
  'The password has to be changed first; then sign in with the new one.'
)
export const Banned = kind('BANNED', 403, 'client', false, 'This address may not use the gateway.')
export const RouteNotFound = kind('ROUTE_NOT_FOUND', 404, 'client', false, 'No route matches %s %s.')
export const NotFound = kind('NOT_FOUND', 404, 'client', false, 'There is no %s "%s".')
export const MethodNotAllowed = kind(
  'METHOD_NOT_ALLOWED',
  405,
  'client',
  false,
  'The route for %s does not take %s; it takes %s.'
)
export const RequestTimeout = kind(
  'REQUEST_TIMEOUT',
  408,
  'client',
  true,
  'The request did not arrive in time.'
)
export const Conflict = kind('CONFLICT', 409, 'client', false, '%s')
export const PreconditionFailed = kind('PRECONDITION_FAILED', 412, 'client', false, '%s')
export const BodyTooLarge = kind(
  'BODY_TOO_LARGE',
  413,
  'client',
  false,
  'The body is larger than the %s this route takes.'
)
export const URITooLong = kind(
  'URI_TOO_LONG',
  414,
  'client',
  false,
  'The request target is longer than the %s the gateway takes.'
)
export const UnsupportedMediaType = kind(
  'UNSUPPORTED_MEDIA_TYPE',
  415,
  'client',
  false,
  'The content type "%s" is not taken here; send %s.'
)
export const ExpectationFailed = kind(
  'EXPECTATION_FAILED',
  417,
  'client',
  false,
  'The gateway meets no expectation but "100-continue".'
)
export const PreconditionRequired = kind('PRECONDITION_REQUIRED', 428, 'client', false, '%s')
export const RateLimited = kind(
  'RATE_LIMITED',
  429,
  'client',
  true,
  'More than %s for "%s"; ask again after %s s.'
)
export const TooManyAttempts = kind(
  'TOO_MANY_ATTEMPTS',
  429,
  'client',
  true,
  'Too many requests to this endpoint; ask again after %s s.'
)
export const TooManyWebSockets = kind(
  'TOO_MANY_WEBSOCKETS',
  429,
  'client',
  true,
  'You have %s WebSockets open on "%s", and that is the most you may have; close one first.'
)
export const HeadersTooLarge = kind(
  'HEADERS_TOO_LARGE',
  431,
  'client',
  false,
  'The request line and headers are larger than the gateway takes.'
)
export const TooManyHeaders = kind(
  'TOO_MANY_HEADERS',
  431,
  'client',
  false,
  'The request has more than the %s headers the gateway takes.'
)
export const Internal = kind('INTERNAL', 500, 'gateway', false, 'The gateway failed.')
export const NotImplemented = kind('NOT_IMPLEMENTED', 501, 'client', false, 'The gateway does not speak %s.')
export const UpstreamConnect = kind(
  'UPSTREAM_CONNECT',
  502,
  'upstream',
  true,
  'Service "%s" could not be reached; try again in a moment.'
)
export const UpstreamBroken = kind(
  'UPSTREAM_BROKEN',
  502,
  'upstream',
  true,
  'Service "%s" gave a broken answer; try again, or tell who runs it.'
)
export const UpstreamUnavailable = kind(
  'UPSTREAM_UNAVAILABLE',
  503,
  'upstream',
  true,
  'Service "%s" has no node to take the request; try again in a moment.'
)
export const StoreUnavailable = kind(
  'STORE_UNAVAILABLE',
  503,
  'gateway',
  true,
  'The session store does not answer; try again.'
)
export const LimitUnavailable = kind(
  'LIMIT_UNAVAILABLE',
  503,
  'gateway',
  true,
  'Requests cannot be counted at the moment; try again.'
)
export const IssuerUnavailable = kind(
  'ISSUER_UNAVAILABLE',
  503,
  'gateway',
  true,
  'The keys of the issuer of this token are not at hand at the moment; try again.'
)
export const UsersUnavailable = kind(
  'USERS_UNAVAILABLE',
  503,
  'gateway',
  true,
  'The users cannot be read at the moment; try again.'
)
export const KeysUnavailable = kind(
  'KEYS_UNAVAILABLE',
  503,
  'gateway',
  true,
  'There is no key to sign with at the moment; try again, or tell who runs the gateway.'
)
export const ConfigUnwritable = kind(
  'CONFIG_UNWRITABLE',
  503,
  'gateway',
  true,
  'The config file cannot be written: %s.'
)
export const Overloaded = kind('OVERLOADED', 503, 'gateway', true, 'The gateway is busy; try again.')
export const Draining = kind(
  'DRAINING',
  503,
  'gateway',
  true,
  'The gateway is shutting down; try another one.'
)
export const UpstreamTimeout = kind(
  'UPSTREAM_TIMEOUT',
  504,
  'upstream',
  true,
  'Service "%s" did not answer in time; try again, or tell who runs it.'
)
