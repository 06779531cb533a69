import fastifyRedis from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { RedisStore } from '../services/store/redis.ts'
import { definePlugin } from './plugin.ts'

/**
 * Gives plugins `app.redis`: the store's own client, with its timeouts, through @fastify/redis. There is none with the embedded store.
 *
 * The client belongs to the store and outlives the app. While its connection is down @fastify/redis would wait for it, and end it when
 * the server answers with an error; a reload in that moment must neither hang nor cost the process its client.
 */
export const redis = definePlugin({
  key: 'redis',

  async setup(app, _options, { store }) {
    if (!(store instanceof RedisStore)) return undefined
    const { client } = store
    await app.register(
      fastifyPlugin(async (inner) => {
        if (client.status === 'ready') await inner.register(fastifyRedis, { client, closeClient: false })
        else inner.decorate('redis', client as unknown as FastifyInstance['redis'])
      })
    )
    return undefined
  }
})
