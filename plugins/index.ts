import { accessLog } from './access-log.ts'
import { authenticate } from './authenticate/authenticate.ts'
import { authorize } from './authorize.ts'
import { canary } from './canary.ts'
import { cors } from './cors.ts'
import { doorLimit } from './door-limit.ts'
import { guard } from './guard/guard.ts'
import { metrics } from './metrics.ts'
import { oneTime } from './one-time.ts'
import { pressure } from './pressure.ts'
import { problem } from './problem.ts'
import { limitByService, limitBySubject, limitEarly } from './rate-limit/rate-limit.ts'
import { redis } from './redis.ts'
import { requestId } from './request-id.ts'
import { stepUp } from './step-up.ts'
import { traces } from './traces.ts'
import { validate } from './validate/validate.ts'
import { webSockets } from './web-sockets.ts'

/** The path of a request, in the order it meets each plugin. */
export const plugins = [
  accessLog,
  metrics,
  problem,
  traces,
  requestId,
  redis,
  pressure,
  guard,
  cors,
  doorLimit,
  limitEarly,
  authenticate,
  stepUp,
  authorize,
  canary,
  limitBySubject,
  limitByService,
  validate,
  webSockets,
  oneTime
] as const
