import type { Test } from 'tap'
import { ask } from './client.ts'
import { type StartedGateway, startGateway } from './gateway.ts'
import { eventually } from './own-process.ts'
import { httpUpstream } from './upstream.ts'

export const adminToken = 'an-admin-token-of-some-length'

/** What the admin API tells of one sink. */
export interface ShownSink {
  readonly name: string
  readonly kind: string
  readonly state: string
  readonly queued: number
  readonly queuedBytes: number
  readonly sent: number
  readonly dropped: number
  readonly failed: number
  readonly sampled: number
  readonly lastError: { readonly at: string; readonly why: string } | null
}

export interface LoggingGateway extends StartedGateway {
  /** Asks for so many paths of the service, several at a time, each with an id of its own (`<prefix><number>`). */
  request(count: number, prefix?: string): Promise<void>
  shown(name?: string): Promise<ShownSink>
  /** Waits until the queue of a sink is empty. */
  drained(name?: string): Promise<ShownSink>
  metric(name: string): Promise<number>
  /** Writes a config with other sinks and reads it. */
  resink(sinks: readonly object[]): Promise<void>
}

/** Quick enough for a test: batches go at once. */
export const quick = { batch: { linger: '20ms' } }

/** The config of a gateway with these sinks, in front of a service that answers with the status its path names. */
export const loggingConfig = (url: string, sinks: readonly object[], log: object = {}) => ({
  admin: { token: adminToken },
  store: { driver: 'embedded', path: 'store' },
  log: { ...log, sinks },
  services: { up: { nodes: [url] } },
  routes: [
    { id: 'open', path: '/open/*', service: 'up', auth: 'none' },
    { id: 'get-only', path: '/get-only/*', methods: ['GET'], service: 'up', auth: 'none' }
  ]
})

export const statusUpstream = (t: Test) =>
  httpUpstream(t, ({ url = '/' }, response) => {
    const [, status = '200'] = /(\d{3})$/.exec(url.split('?')[0]!) ?? []
    response.writeHead(Number(status)).end('ok')
  })

export async function startLogging(
  t: Test,
  sinks: readonly object[],
  { log = {}, files = {} }: { log?: object; files?: Record<string, string> } = {}
): Promise<LoggingGateway> {
  const { url } = await statusUpstream(t)
  const started = await startGateway(t, loggingConfig(url, sinks, log), { files })
  const all = async (): Promise<readonly ShownSink[]> => {
    const { body } = await ask('GET', `${started.admin}/admin/logs/sinks`, { token: adminToken })
    return body.sinks as unknown as readonly ShownSink[]
  }
  const shown = async (name?: string): Promise<ShownSink> => {
    const found = (await all()).find((sink) => name === undefined || sink.name === name)
    if (found === undefined) throw new Error(`there is no sink ${name}`)
    return found
  }
  return {
    ...started,
    shown,
    request: (count, prefix = 'r') => requestMany(started.origin, count, prefix),
    drained: async (name) => {
      await eventually('the queue is empty', async () => (await shown(name)).queued === 0)
      return shown(name)
    },
    metric: async (name) => {
      const { text } = await ask('GET', `${started.admin}/metrics`)
      const line = text.split('\n').find((one) => one.startsWith(`${name} `))
      return Number(line?.split(' ').at(-1) ?? Number.NaN)
    },
    resink: async (next) => {
      const { outcome } = await started.reconfigure(loggingConfig(url, next, log))
      if (outcome !== 'applied') throw new Error(`the config was ${outcome}`)
    }
  }
}

export async function requestMany(origin: string, count: number, prefix = 'r'): Promise<void> {
  let next = 0
  const one = async (): Promise<void> => {
    while (next < count) {
      const id = `${prefix}${next}`
      next += 1
      const answer = await ask('GET', `${origin}/open/x`, { headers: { 'x-request-id': id } })
      if (answer.status !== 200) throw new Error(`answered ${answer.status}`)
    }
  }
  await Promise.all(Array.from({ length: 8 }, one))
}

/** Texts in JSON, one on each line. */
export const parsed = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
