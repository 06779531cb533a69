import { Value } from '@sinclair/typebox/value'
import type { Test } from 'tap'
import { ServiceRegistry } from '../../services/services.ts'
import type { AnswerSink, Failure, Sent } from '../../services/transport/transport.ts'
import type { UpstreamNode } from '../../services/upstream/node.ts'
import type { KeySource, Pool, PoolRequest } from '../../services/upstream/pool.ts'
import { openPools } from '../../services/upstream/pools.ts'
import { type ServiceOptions, serviceSlice } from '../../services/upstream/slice.ts'

/** The key `services` with one service, defaults filled in. */
export const serviceWith = (name: string, service: object): Record<string, ServiceOptions> => ({
  [name]: Value.Default(serviceSlice, structuredClone(service)) as ServiceOptions
})

export interface OpenedPool {
  readonly pool: Pool
  /** Builds the pool of another config and lets it serve; the old one is closed. */
  reload(service: object): Promise<Pool>
}

/** A pool by itself, as a config would have it; it ends with the test. */
export function openPool(t: Test, service: object): OpenedPool {
  const registry = new ServiceRegistry()
  const open = (options: object) => {
    const lease = registry.lease()
    const pools = openPools({ shared: lease.shared, directory: '.' }, serviceWith('up', options))
    return { lease, pool: pools.get('up')! }
  }
  let current = open(service)
  t.teardown(() => current.lease.release())
  return {
    pool: current.pool,
    reload: async (options) => {
      const old = current
      current = open(options)
      current.pool.activate()
      await old.lease.release()
      return current.pool
    }
  }
}

export interface Asked {
  readonly status: number
  readonly failure: Failure | undefined
  readonly body: string
  /** Id of the node that answered, or failed last. */
  readonly node: string
}

export interface AskOptions {
  readonly method?: string
  readonly path?: string
  readonly keys?: Readonly<Record<string, string>>
}

/** Sends one request through a pool, without a gateway around it; `sent` takes hold of it. */
export function ask(
  pool: Pool,
  { method = 'GET', path = '/', keys = {} }: AskOptions = {},
  sent?: (sent: Sent) => void
): Promise<Asked> {
  return new Promise((resolve) => {
    let node = ''
    let status = 0
    let body = ''
    const request: PoolRequest = {
      outgoingFor: (to: UpstreamNode) => ({
        method,
        path: to.base + path,
        host: to.authority,
        headers: '',
        body: undefined,
        length: undefined,
        maxBody: 1024,
        timeouts: pool.timeouts
      }),
      onNode: ({ name }) => {
        node = name
      },
      balanceKey: ({ from, name }: KeySource) => keys[name === '' ? from : `${from}:${name}`]
    }
    const sink: AnswerSink = {
      onWhole: (code, _reason, _headers, text) =>
        resolve({ status: code, failure: undefined, body: Buffer.from(text, 'latin1').toString(), node }),
      onHead: (code) => {
        status = code
      },
      onData: (chunk) => {
        body += chunk.toString()
        return true
      },
      onFlush: () => {},
      onEnd: () => resolve({ status, failure: undefined, body, node }),
      onFailure: (failure) => resolve({ status, failure, body, node })
    }
    const hold = pool.send(request, sink)
    sent?.(hold)
  })
}

/** Waits until something holds; says what was waited for when it does not come. */
export async function until(holds: () => boolean, what: string, timeout = 10_000): Promise<void> {
  const deadline = performance.now() + timeout
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
