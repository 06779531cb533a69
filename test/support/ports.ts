import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:net'

/**
 * Ports that nobody listens on, all different. For what has to be named before it listens. From below those that the system itself gives
 * away (from 32768 on Linux, 49152 elsewhere): one of these may be a stranger's own end of a connection a moment later.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held = new Map<number, Server>()
  for (let tries = 0; held.size < count; tries += 1) {
    if (tries > 1000) throw new Error(`no ${count} free ports were found`)
    const port = randomInt(10_000, 32_000)
    if (held.has(port)) continue
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false
    )
    if (isFree) held.set(port, server)
  }
  await Promise.all([...held.values()].map((server) => new Promise((resolve) => server.close(resolve))))
  return [...held.keys()]
}
