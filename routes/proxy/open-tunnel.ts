import type { Socket } from 'node:net'
import type { Exchange } from '../../plugins/plugin.ts'
import type { OpenExchange } from '../../services/identity/open-exchanges.ts'
import type { Tunnel } from '../../services/transport/tunnel.ts'
import type { Plan } from './plan.ts'

/** Close code of a WebSocket whose user may not go on: 401, in the range that applications have for themselves. */
const unauthenticated = 4401

/** Milliseconds for the frames under way and the farewell; whoever was ended gets no more. */
const patience = 500

/** Joins a client and a service that agreed on WebSocket, for as long as what let the client in holds. */
export function openTunnel(
  { tunnels, open, endsWithToken }: Plan,
  { principal, startedAt }: Exchange,
  [client, upstream]: readonly [Socket, Socket],
  idle: number
): Tunnel {
  if (principal === undefined) return tunnels.open(client, upstream, idle, () => {})
  const held: OpenExchange = { principal, openAt: -1, end: () => tunnel.close(unauthenticated, patience) }
  const tunnel = tunnels.open(client, upstream, idle, () => open.remove(held))
  if (open.add(held, startedAt) !== undefined) held.end('revoked.sid')
  else if (endsWithToken) open.endWithToken(held)
  return tunnel
}
