import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { ask } from './client.ts'
import { type StartedGateway, startGateway } from './gateway.ts'
import { startRedis } from './redis.ts'
import { runToll } from './running.ts'
import { httpUpstream } from './upstream.ts'

/** A gateway over some nodes, and the admin API of its service. */
export async function startOver(t: Test, nodes: readonly (string | object)[], store?: object) {
  const config = (more: object = {}) => ({
    ...(store !== undefined && { store }),
    services: { orders: { nodes } },
    routes: [{ id: 'orders', path: '/orders/*', service: 'orders', auth: 'none' }],
    doors: { admin: { max: 1_000_000 } },
    ...more
  })
  const started = await startGateway(t, config())
  return { ...started, ...adminOf(started), config }
}

interface ShownNode {
  readonly id: string
  readonly url: string
  readonly weight: number
  readonly state: string
  readonly inFlight: number
  readonly source: string
}

function adminOf({ admin, origin, directory }: StartedGateway) {
  const token = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  const call = (method: string, id = '', json?: unknown, service = 'orders') =>
    ask(method, `${admin}/admin/services/${service}/nodes${id === '' ? '' : `/${id}`}`, {
      token,
      ...(json !== undefined && { json })
    })
  const nodes = async () => (await call('GET')).body.nodes as readonly ShownNode[]
  const idOf = async (url: string) => (await nodes()).find((node) => node.url === url)?.id ?? ''
  const get = async (path = '/orders/1') => (await ask('GET', origin + path)).text
  const env = { TOLL_ADMIN_URL: admin, TOLL_ADMIN_TOKEN: token }
  const toll = async (t: Test, ...args: readonly string[]) => {
    const { ended, output } = runToll(t, ['node', ...args], {}, env)
    const code = await ended
    return { code, out: output.out.trim(), err: output.err.trim() }
  }
  return { token, call, nodes, idOf, get, toll, env }
}

/** A node that says its name; what is asked for under /slow it keeps until it is told to finish. */
export async function named(t: Test, name: string) {
  const waiting: (() => void)[] = []
  const upstream = await httpUpstream(t, (request, response) => {
    if (request.url === '/orders/slow') waiting.push(() => response.end(name))
    else response.end(name)
  })
  return { ...upstream, waiting }
}

export async function until(isSo: () => boolean | Promise<boolean>, what: string, patience = 15_000) {
  const deadline = Date.now() + patience
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The names of those who answer so many requests. */
export async function who(get: () => Promise<string>, count = 8): Promise<string[]> {
  const names = new Set<string>()
  for (let n = 0; n < count; n += 1) names.add(await get())
  return [...names].toSorted()
}

/** So many gateways on one Redis that is the test's own. */
export async function cluster(t: Test, nodes: readonly string[], count: number) {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const store = { driver: 'redis', url: redis.url, timeout: '2s' }
  const join = () => startOver(t, nodes, store)
  return { redis, join, gateways: await Promise.all(Array.from({ length: count }, join)) }
}
