import { createServer, type IncomingMessage, type Server, type ServerOptions } from 'node:http'
import { longestWait, toBytes, toMilliseconds } from '../config/units.ts'

/** What `listen` says about waiting for clients. */
export interface Patience {
  readonly timeouts: { readonly head: string; readonly request: string; readonly keepAlive: string }
  readonly maxHead: string
}

/** Not known to the types of the oldest Node we run on, and left unread by it. */
type Options = ServerOptions & { readonly shouldUpgradeCallback: (request: IncomingMessage) => boolean }

/**
 * A server of Node's, strict, with a bound on everything a client can be slow at; it does not listen yet. A request with an Upgrade for
 * which `isUpgrade` says no stays a request, where Node asks.
 */
export function createListener(patience: Patience, isUpgrade: Options['shouldUpgradeCallback']): Server {
  const options: Options = {
    maxHeaderSize: toBytes(patience.maxHead),
    connectionsCheckingInterval: 1000,
    // Refused in the corridor, with an answer that says why.
    requireHostHeader: false,
    insecureHTTPParser: false,
    shouldUpgradeCallback: isUpgrade
  }
  const server = createServer(options)
  bePatient(server, patience)
  return server
}

/** Timeouts of a reloaded config count from now on, also for connections that are open; the size of a head counts for new ones. */
export function bePatient(server: Server, { timeouts, maxHead }: Patience): void {
  // Read by Node for each new connection.
  ;(server as { maxHeaderSize?: number }).maxHeaderSize = toBytes(maxHead)
  server.headersTimeout = toMilliseconds(timeouts.head)
  server.requestTimeout = toMilliseconds(timeouts.request)
  // Node adds a second of its own, and warns for each connection when a timer cannot wait for so long.
  server.keepAliveTimeout = Math.min(longestWait - 1000, toMilliseconds(timeouts.keepAlive))
}
