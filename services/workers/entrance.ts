import type { Server } from 'node:http'
import { type AddressInfo, Server as NetServer } from 'node:net'
import { splitAddress } from '../../config/process.ts'

/** One for clients, one for whoever operates the gateway. */
export interface Sides<One> {
  readonly public: One
  readonly admin: One
}

export type Side = keyof Sides<unknown>

/** Where connections of clients come from. */
export interface Entrance {
  /** Has connections come to both servers, for "host:port" each. Resolves with where clients find them, rejects with the error of listen(2). */
  open(servers: Sides<Server>, listen: Sides<string>): Promise<Sides<string>>
  /** No new connections any more; resolves when those on their way are here. */
  close(side: Side): Promise<void>
}

/**
 * Has servers listen where another process listens already, if that is the same "host:port" as theirs. Resolves with those that do.
 */
export type Inherit = (servers: Sides<NetServer>, listen: Sides<string>) => Promise<ReadonlySet<Side>>

/** The entrance of a process that listens itself. */
export class OwnEntrance implements Entrance {
  readonly #inherit: Inherit | undefined
  #servers: Sides<NetServer> | undefined

  constructor(inherit?: Inherit) {
    this.#inherit = inherit
  }

  /** What listens, to be handed over to another process. */
  get servers(): Sides<NetServer> {
    return this.#servers!
  }

  async open(servers: Sides<NetServer>, listen: Sides<string>): Promise<Sides<string>> {
    const inherited = await this.#inherit?.(servers, listen)
    for (const side of ['public', 'admin'] as const)
      if (inherited?.has(side) !== true) await listening(servers[side], listen[side])
    this.#servers = servers
    return { public: originOf(servers.public), admin: originOf(servers.admin) }
  }

  async close(side: Side): Promise<void> {
    // A server of HTTP would also end connections that look idle, on which a request may be on its way.
    if (this.#servers !== undefined) NetServer.prototype.close.call(this.#servers[side])
  }
}

/** Resolves when the server takes connections on "host:port"; rejects with the error of listen(2). */
function listening(server: NetServer, address: string): Promise<void> {
  const { host, port } = splitAddress(address)
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** Where a server listens really, a port 0 resolved. */
function originOf(server: NetServer): string {
  const { address, family, port } = server.address() as AddressInfo
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`
}
