import type { FastifyInstance, HTTPMethods } from 'fastify'
import { MethodNotAllowed } from '../../errors.ts'

const methods: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']

/** Collects which methods the doors of `app` take; call the result when all stand, to refuse the others with 405 and Allow. */
export function refuseOtherMethods(app: FastifyInstance): () => void {
  const taken = new Map<string, Set<string>>()
  let isOpen = true
  app.addHook('onRoute', ({ url, method }) => {
    if (!isOpen) return
    const known = taken.get(url) ?? new Set()
    for (const one of [method].flat()) known.add(one)
    taken.set(url, known)
  })
  return () => {
    isOpen = false
    for (const [url, allowed] of taken) {
      const allow = [...allowed].join(', ')
      app.route({
        url,
        method: methods.filter((method) => !allowed.has(method)),
        exposeHeadRoute: false,
        onRequest: async ({ method, exchange }) => {
          throw MethodNotAllowed([exchange.path, method, allow], { reason: 'method', headers: { allow } })
        },
        handler: () => undefined
      })
    }
  }
}
