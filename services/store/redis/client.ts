import { Cluster, Redis } from 'ioredis'
import type { RedisAddress } from './address.ts'

export type RedisClient = Redis | Cluster

const reconnectAtMostMs = 500

/**
 * Makes a client that never makes a caller wait: commands fail after `timeoutMs`, nothing is queued while the connection is down
 * and nothing is sent twice. It reconnects for ever, at most half a second after the server is back. Not connected yet.
 */
export function createClient(address: RedisAddress, timeoutMs: number): RedisClient {
  const options = optionsFor(address, timeoutMs)
  const client = address.kind === 'cluster' ? cluster(address, options) : single(address, options)
  // Every failed command says so to its caller; without a listener a lost connection would end the process.
  client.on('error', () => {})
  return client
}

/** The client gave up waiting. It has no code for that, only these words. */
export const isTimeout = (error: unknown): boolean =>
  error instanceof Error && (error.message === 'Command timed out' || error.message === 'connect ETIMEDOUT')

/** The error without the command it is about: an AUTH has the password in it, a script the data of a session. */
export function withoutCommand(error: unknown): unknown {
  if (!(error instanceof Error) || !('command' in error)) return error
  return Object.assign(new Error(error.message), { name: error.name })
}

type Options = ReturnType<typeof optionsFor>

function optionsFor(address: RedisAddress, timeoutMs: number) {
  return {
    lazyConnect: true,
    // RESP 3 gains nothing here, and servers before 6 and some proxies do not speak it.
    protocol: 2 as const,
    db: address.db,
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(address.tls ? { tls: {} } : {}),
    connectionName: 'tollkeeper',
    commandTimeout: timeoutMs,
    connectTimeout: 1000,
    // How long a connection we end may stay half open; a stalled server never closes its half.
    disconnectTimeout: 100,
    // A connection that is silent although an answer is due is dead, whatever TCP thinks of it.
    socketTimeout: Math.max(1000, timeoutMs * 2),
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    maxLoadingRetryTime: reconnectAtMostMs,
    retryStrategy: backoff,
    // A master that became a replica: connect again, to whoever is master now.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY')
  }
}

function single(address: RedisAddress, options: Options): Redis {
  if (address.kind === 'single') return new Redis({ ...options, ...address.endpoints[0]! })
  return new Redis({
    ...options,
    sentinels: address.endpoints.map((endpoint) => ({ ...endpoint })),
    name: address.master!,
    sentinelCommandTimeout: options.commandTimeout,
    sentinelRetryStrategy: backoff,
    ...(address.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {})
  })
}

function cluster(address: RedisAddress, options: Options): Cluster {
  // These two belong to the whole cluster there, and are set below.
  const { enableOfflineQueue, retryStrategy, ...redisOptions } = options
  return new Cluster(
    address.endpoints.map((endpoint) => ({ ...endpoint })),
    {
      lazyConnect: true,
      enableOfflineQueue,
      maxRedirections: 4,
      retryDelayOnFailover: 50,
      retryDelayOnClusterDown: 50,
      retryDelayOnTryAgain: 20,
      slotsRefreshTimeout: 1000,
      clusterRetryStrategy: retryStrategy,
      redisOptions
    }
  )
}

function backoff(attempt: number): number {
  return Math.min(20 * 2 ** Math.min(attempt, 10), reconnectAtMostMs)
}
