import {
  BodyTooLarge,
  type Problem,
  RequestTimeout,
  UpstreamBroken,
  UpstreamConnect,
  UpstreamTimeout,
  UpstreamUnavailable
} from '../../errors.ts'
import type { Failure } from '../../services/transport/transport.ts'
import type { CompiledRoute } from '../table/route.ts'

/** What the client is told of a failed exchange: 502, 503 and 504 told apart, nothing about the node. */
export function problemOf({ kind, reason, cause }: Failure, { service, maxBody }: CompiledRoute): Problem {
  const details = { reason, ...(cause !== undefined && { cause }) }
  switch (kind) {
    case 'connect':
      return UpstreamConnect([service], details)
    case 'broken':
      return UpstreamBroken([service], details)
    case 'timeout':
      return UpstreamTimeout([service], details)
    case 'unavailable':
      return UpstreamUnavailable([service], { ...details, headers: { 'retry-after': '1' } })
    case 'body-too-large':
      return BodyTooLarge([maxBody.size], details)
    case 'slow-client':
      return RequestTimeout([], { ...details, headers: { connection: 'close' } })
  }
}
