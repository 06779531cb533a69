import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import type { RedisStore } from '../services/store/redis.ts'
import type { Store } from '../services/store/store.ts'
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
    if (!isRedis(store)) return undefined
    // Loaded here, since it brings ioredis along, which takes its time to load.
    const { default: fastifyRedis } = await import('@fastify/redis')
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

const isRedis = (store: Store): store is RedisStore => 'client' in store
