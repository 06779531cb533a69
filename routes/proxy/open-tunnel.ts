import type { Socket } from 'node:net'
import type { Exchange } from '../../plugins/plugin.ts'
import type { OpenExchange } from '../../services/identity/open-exchanges.ts'
import type { Tunnel } from '../../services/transport/tunnel.ts'
import type { Plan } from './plan.ts'

/** Close code of a WebSocket whose user may not go on: 401, in the range that applications have for themselves. */
const unauthenticated = 4401

/** Milliseconds for the frames under way and the farewell; whoever was ended gets no more. */
const patience = 500

/**
 * Joins a client and a service that agreed on WebSocket, for as long as what let the client in holds. `idle` in milliseconds, unless
 * the route has said something of its own about WebSockets.
 */
export function openTunnel(
  { tunnels, open, endsWithToken }: Plan,
  exchange: Exchange,
  [client, upstream]: readonly [Socket, Socket],
  idle: number
): Tunnel {
  const { principal, startedAt, webSocket, client: from } = exchange
  // The tunnel's from here on: the end of the exchange does not give it back.
  exchange.webSocket = undefined
  const terms = { from, idle: webSocket?.idle ?? idle }
  if (principal === undefined) return tunnels.open(client, upstream, terms, () => webSocket?.place.release())
  const held: OpenExchange = { principal, openAt: -1, end: () => tunnel.close(unauthenticated, patience) }
  const tunnel = tunnels.open(client, upstream, terms, () => {
    open.remove(held)
    webSocket?.place.release()
  })
  if (open.add(held, startedAt) !== undefined) held.end('revoked.sid')
  else if (endsWithToken) open.endWithToken(held)
  return tunnel
}
