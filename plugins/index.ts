import { accessLog } from './access-log.ts'
import { cors } from './cors.ts'
import { guard } from './guard.ts'
import { metrics } from './metrics.ts'
import { problem } from './problem.ts'
import { requestId } from './request-id.ts'

/** The path of a request, in the order it meets each plugin. */
export const plugins = [accessLog, metrics, problem, requestId, guard, cors] as const
