import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

/** Every value of a service's `transport`, the default first: what holds for one has to hold for all. */
export const transports = ['auto', 'direct', 'http-proxy'] as const

export type Transport = (typeof transports)[number]

/** @fastify/http-proxy gives answers back with names in lower case, fields of one name together, and no trailers. */
export const keepsSpelling = process.env.TOLL_TRANSPORT !== 'http-proxy'

/** The tests of what a client and a node see of each other. Each is run by itself over the default. */
const suites = [
  'issues/documented-stack-faults',
  'issues/early-answers',
  'issues/pipelining',
  'issues/slow-readers',
  'path/client-faults',
  'path/headers',
  'path/pools',
  'path/tls',
  'path/upstream-faults',
  'path/websocket',
  'routes/proxy'
]

/** Runs all of them with every `configFor` on this transport, two at a time; one alone: `TOLL_TRANSPORT=http-proxy node build/test/path/pools.test.js`. */
export async function runOver(t: Test, transport: Transport): Promise<void> {
  t.jobs = 2
  // All of them together take as long as any other dozen of files.
  t.setTimeout(600_000)
  const env = { ...process.env, TOLL_TRANSPORT: transport, TAP_TIMEOUT: '100' }
  await Promise.all(
    suites.map((suite) => {
      const file = fileURLToPath(new URL(`../${suite}.test.js`, import.meta.url))
      return t.spawn(
        process.execPath,
        [file],
        { env, buffered: true, timeout: 100_000 },
        `${suite} over ${transport}`
      )
    })
  )
}
