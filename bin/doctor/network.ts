import { connect, createServer } from 'node:net'
import type { GatewayConfig } from '../../app.ts'
import { splitAddress } from '../../config/process.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const patience = 1000

/** Are the listeners free, or ours already? */
export async function* examinePorts({ value: { listen } }: GatewayConfig): AsyncIterable<Finding> {
  const isServing = await answersLive(listen.admin)
  for (const key of ['public', 'admin'] as const) {
    const address = listen[key]
    const code = await occupied(address)
    const name = `listen.${key}`
    if (code === undefined) yield ok(name, `${address} is free.`)
    else if (code === 'EADDRINUSE' && isServing) yield ok(name, `${address} is served by a gateway.`)
    else if (code === 'EADDRINUSE') {
      yield fail(name, `${address} is taken by another process.`, `Stop it, or change "${name}".`)
    } else if (code === 'EACCES') {
      yield fail(name, `${address} needs more rights.`, `Choose a port above 1023 in "${name}".`)
    } else {
      yield fail(name, `${address} is no address of this machine.`, `Change "${name}", to 0.0.0.0 for all.`)
    }
  }
}

/** Does each node take connections? One that does not need not be wrong: it may be started later. */
export async function* examineNodes({ value }: GatewayConfig): AsyncIterable<Finding> {
  const { services = {} } = value as { services?: Readonly<Record<string, ServiceShape>> }
  for (const [service, { nodes = [], run }] of Object.entries(services)) {
    for (const node of nodes) {
      const { hostname, port, protocol, host } = new URL(typeof node === 'string' ? node : node.url)
      const name = `services.${service}`
      const open = await takesConnections(hostname.replace(/^\[|\]$/g, ''), Number(port) || portOf(protocol))
      if (open) yield ok(name, `${host} takes connections.`)
      else {
        const remedy = run === undefined ? 'Start it, or mend its address.' : '"toll dev" starts it.'
        yield warn(name, `${host} takes no connections.`, remedy)
      }
    }
  }
}

interface ServiceShape {
  readonly nodes?: readonly (string | { readonly url: string })[]
  readonly run?: unknown
}

const portOf = (protocol: string): number => (protocol === 'https:' || protocol === 'h2:' ? 443 : 80)

function occupied(address: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'EADDRNOTAVAIL'))
    server.listen({ ...splitAddress(address), exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}

async function answersLive(admin: string): Promise<boolean> {
  const { host, port } = splitAddress(admin)
  const origin = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  if (port === 0) return false
  try {
    const response = await fetch(`${origin}/livez`, { signal: AbortSignal.timeout(patience) })
    await response.body?.cancel()
    return response.status === 200
  } catch {
    return false
  }
}

function takesConnections(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const end = (isOpen: boolean): void => {
      socket.destroy()
      resolve(isOpen)
    }
    socket.setTimeout(patience, () => end(false))
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
  })
}
