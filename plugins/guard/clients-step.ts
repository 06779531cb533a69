import type { FastifyRequest } from 'fastify'
import { Forbidden } from '../../errors.ts'
import { addressSet } from '../../services/bans/address-set.ts'
import type { RouteClients } from '../../services/bans/slice.ts'
import type { Note, Step } from '../plugin.ts'

/** Lets a route's own clients in, and nobody else. */
export function clientsStep({ allow, deny }: RouteClients): Step {
  const allowed = addressSet(allow)
  const denied = addressSet(deny)
  const step: Step = ({ exchange: { client } }) => {
    if (denied.find(client) === undefined && (allowed.isEmpty || allowed.find(client) !== undefined)) return
    throw Forbidden(['This route is not for your address.'], { reason: 'client_address' })
  }
  return Object.assign(step, {
    explain(request: FastifyRequest, note: Note): void {
      note({ client: request.exchange.client, allow, deny })
      step(request, undefined as never)
    }
  })
}
