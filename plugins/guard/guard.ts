import { Type } from '@sinclair/typebox'
import { definePlugin } from '../plugin.ts'
import { clientOf, plainAddress, trustList } from './client-address.ts'

/** Settles whose request it is: the peer's address, or what a trusted proxy says of it. */
export const guard = definePlugin({
  key: 'guard',

  slice: Type.Object(
    {
      trustedProxies: Type.Array(
        Type.String({
          description: 'An address or a CIDR range.',
          pattern: '^[0-9a-fA-F:.]+(/[0-9]{1,3})?$'
        }),
        {
          default: [],
          maxItems: 1000,
          description:
            'Peers whose X-Forwarded-For, -Proto and -Host are believed. X-Forwarded-For is walked from the right, past trusted hops only.'
        }
      )
    },
    { additionalProperties: false, default: {}, description: 'What is believed about who is asking.' }
  ),

  setup(app, { trustedProxies }) {
    const trusts = trustList(trustedProxies)
    app.addHook('onRequest', (request, _reply, done) => {
      const peer = plainAddress(request.raw.socket.remoteAddress ?? '')
      const { exchange } = request
      exchange.client = peer
      if (trusts?.(peer)) {
        exchange.trusted = true
        exchange.client = clientOf(request.headers['x-forwarded-for'], peer, trusts)
      }
      done()
    })
    return undefined
  }
})
