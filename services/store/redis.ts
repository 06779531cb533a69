import { parseRedisUrl, type RedisAddress } from './redis/address.ts'
import { createClient, isTimeout, type RedisClient, withoutCommand } from './redis/client.ts'
import { readTimeout } from './redis/follow.ts'
import { RedisStore } from './redis/store.ts'
import { StoreOpenError } from './store.ts'

export type { RedisClient } from './redis/client.ts'
export { RedisStore } from './redis/store.ts'

const openWithinMs = 1000
/** Nobody listens: a Redis that starts at the same time gets this long, but an operator who forgot it waits no longer. */
const refusedWithinMs = 300
const tryAgainMs = 50
const oldest = [6, 2] as const

/**
 * Connects to Redis (single, Sentinel or Cluster by the shape of the URL), or rejects within a second with a StoreOpenError.
 * Once open the store never needs to be opened again: it reconnects by itself, and until then every call fails fast.
 */
export async function openRedis(url: string, timeoutMs: number): Promise<RedisStore> {
  const address = parseRedisUrl(url)
  if (address === undefined) {
    throw new StoreOpenError(
      'store.url is not a Redis URL; write redis://host:port, redis+sentinel://host:port,host:port/master or redis+cluster://host:port,host:port.'
    )
  }
  const client = createClient(address, timeoutMs)
  const failure = await connect(client, address)
  if (failure !== undefined) {
    client.disconnect()
    throw failure
  }
  return new RedisStore(client, timeoutMs, {
    timeoutMs,
    connect: () => createClient(address, readTimeout(timeoutMs))
  })
}

/** Tries until Redis is ready: a Redis started together with the gateway gets a moment to listen. */
async function connect(client: RedisClient, address: RedisAddress): Promise<StoreOpenError | undefined> {
  let lastError: unknown
  // The first error tells the most; those after it are about the broken connection.
  const remember = (error: unknown): void => {
    lastError ??= error
  }
  client.on('error', remember)
  client.connect().catch(() => {})
  const startedAt = performance.now()
  const waited = (): number => performance.now() - startedAt
  try {
    while (waited() < (isRefused(lastError) ? refusedWithinMs : openWithinMs)) {
      if (client.status === 'ready') return await checkServer(client, address)
      if (client.status === 'end' || isFinal(lastError)) break
      await new Promise((resolve) => setTimeout(resolve, tryAgainMs))
    }
  } catch (error) {
    lastError ??= error
  } finally {
    client.off('error', remember)
  }
  const isLoading = lastError === undefined && client.status === 'connect'
  return refusal(
    address,
    isLoading ? 'it is still loading its data' : reasonOf(address, lastError),
    lastError
  )
}

/** A server that answers may still be one that will not do. */
async function checkServer(client: RedisClient, address: RedisAddress): Promise<StoreOpenError | undefined> {
  // A client whose SELECT was refused works on in database 0, which belongs to somebody else.
  if (address.db > 0) await client.call('SELECT', address.db)
  const info = await client.info('server')
  const mode = /^redis_mode:(\w+)/m.exec(info)?.[1]
  if (address.kind === 'single' && (mode === 'sentinel' || mode === 'cluster')) {
    return refusal(address, `it is part of a ${mode}: the URL has to begin with redis+${mode}://`)
  }
  const version = /^redis_version:(\d+)\.(\d+)/m.exec(info)
  const [major, minor] = [Number(version?.[1]), Number(version?.[2])]
  if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return undefined
  return refusal(
    address,
    `it is version ${major}.${minor}, and ${oldest.join('.')} is the oldest that will do`
  )
}

function refusal(address: RedisAddress, reason: string, cause?: unknown): StoreOpenError {
  return new StoreOpenError(
    `Redis at ${address.shown} cannot be used (${reason}); start it, correct store.url, or set "store": { "driver": "embedded" }.`,
    { cause: withoutCommand(cause) }
  )
}

const credentials = /^(WRONGPASS|NOAUTH|NOPERM)/

/** Waiting does not help against a wrong password. */
const isFinal = (error: unknown): boolean => error instanceof Error && credentials.test(error.message)

const isRefused = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED'

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ENOTFOUND: 'the name is not known',
  EAI_AGAIN: 'the name could not be looked up',
  EHOSTUNREACH: 'there is no way to the host',
  ENETUNREACH: 'there is no way to the network'
}

function reasonOf({ kind, master }: RedisAddress, error: unknown): string {
  // Of a whole cluster: what its last node said.
  const cause = (error as { lastNodeError?: unknown } | undefined)?.lastNodeError ?? error
  if (cause instanceof Error && credentials.test(cause.message)) return 'it does not take these credentials'
  if (kind === 'sentinel') return `no Sentinel that answers knows a master "${master}" that does`
  if (!(cause instanceof Error) || isTimeout(cause)) return 'it does not answer'
  if (cause.message.startsWith('ERR DB index')) return 'it has no database of that number'
  const reason = 'code' in cause ? reasons[String(cause.code)] : undefined
  if (reason !== undefined) return reason
  if (kind === 'cluster') return 'no node of a cluster answers'
  return cause.name === 'ReplyError' ? 'it refused the connection' : 'it does not answer like Redis'
}
