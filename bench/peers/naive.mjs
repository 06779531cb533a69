/** What the documentation of Fastify's plugins leads to: each registered as its README shows, nothing tuned. */

import httpProxy from '@fastify/http-proxy'
import jwt from '@fastify/jwt'
import rateLimit from '@fastify/rate-limit'
import redisPlugin from '@fastify/redis'
import Fastify from 'fastify'

const { port, upstream, redis, secret, routes, gate } = JSON.parse(process.argv[2])
const app = Fastify()

if (gate !== 'none') {
  await app.register(jwt, { secret })
  app.addHook('onRequest', async (request) => {
    await request.jwtVerify()
  })
}
if (gate === 'session') {
  await app.register(redisPlugin, { host: '127.0.0.1', port: redis })
  await app.register(rateLimit, {
    redis: app.redis,
    hook: 'preHandler',
    max: 1e9,
    timeWindow: 60_000,
    keyGenerator: (request) => request.user.sub
  })
  app.addHook('preHandler', async (request, reply) => {
    if ((await app.redis.get(`session:${request.user.sid}`)) === null) return reply.code(401).send()
  })
}
if (routes === 0) await app.register(httpProxy, { upstream })
for (let index = 0; index < routes; index++) {
  const prefix = `/service-${index}`
  await app.register(httpProxy, { upstream, prefix, rewritePrefix: prefix })
}
await app.listen({ port, host: '127.0.0.1', backlog: 4096 })
