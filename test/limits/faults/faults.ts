import { Redis } from 'ioredis'
import type { Site } from './site.ts'

/** A way in which Redis is of no use. */
export interface Fault {
  readonly name: string
  /** Whether it needs something on the way to Redis. */
  readonly isOnTheWay: boolean
  begin(site: Site): Promise<void> | void
  end(site: Site): Promise<void> | void
}

/** Looks like a secret, and is what Redis says of an error. */
export const secret = 'kim:hunter2@10.20.30.40'

/** What an answer of Redis, of its client or about its address would bring along; no answer of a gateway may. */
export const forbidden = [
  ...[secret, 'hunter2', 'edis', 'READONLY', 'OOM', 'NOSCRIPT', 'LOADING', 'MASTERDOWN', 'ECONN', 'ERR '],
  ...['Protocol error', 'Command timed out', 'HELLO', 'script', '127.0.0.1']
]

async function command(site: Site, ...commands: readonly (readonly [string, ...string[]])[]): Promise<void> {
  const client = new Redis(site.redis.url, { protocol: 2 })
  client.on('error', () => {})
  try {
    for (const [name, ...args] of commands) await client.call(name, ...args)
  } finally {
    client.disconnect()
  }
}

const real: readonly Omit<Fault, 'isOnTheWay'>[] = [
  {
    name: 'killed',
    begin: ({ redis }) => redis.kill(),
    end: ({ redis }) => redis.restart()
  },
  {
    name: 'stalled',
    begin: ({ redis }) => redis.pause(),
    end: ({ redis }) => redis.resume()
  },
  {
    name: 'read-only',
    begin: (site) => command(site, ['REPLICAOF', '127.0.0.1', '1']),
    end: (site) => command(site, ['REPLICAOF', 'NO', 'ONE'])
  },
  {
    name: 'full',
    begin: (site) =>
      command(
        site,
        ['CONFIG', 'SET', 'maxmemory-policy', 'noeviction'],
        ['SET', 'filling', 'x'.repeat(2 ** 20)],
        ['CONFIG', 'SET', 'maxmemory', '1mb']
      ),
    end: (site) => command(site, ['CONFIG', 'SET', 'maxmemory', '0'], ['DEL', 'filling'])
  }
]

const pass = ({ way }: Site): void => way!.behave({ kind: 'pass' })

const onTheWay: readonly Omit<Fault, 'isOnTheWay'>[] = [
  {
    name: 'slow',
    begin: ({ way }) => way!.behave({ kind: 'delay', ms: 50 }),
    end: pass
  },
  {
    name: 'silent',
    begin: ({ way }) => way!.behave({ kind: 'silent' }),
    end: pass
  },
  {
    name: 'cut',
    begin: ({ way }) => way!.behave({ kind: 'cut' }),
    end: pass
  },
  ...Object.entries({
    'no RESP': '\0\x01garbage\r\n',
    'a status': '+HELLO\r\n',
    'a number': ':1\r\n',
    'a large number': ':9007199254740993\r\n',
    'no string': '$-1\r\n',
    'no array': '*-1\r\n',
    'an empty array': '*0\r\n',
    'an array of words': '*3\r\n+a\r\n+b\r\n+c\r\n',
    'an array of numbers': '*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n',
    'an error': `-ERR wrong password redis://${secret}\r\n`
  }).map(([name, bytes]) => ({
    name: `answers ${name}`,
    begin: ({ way }: Site) => way!.behave({ kind: 'answer', bytes }),
    // What answered there is gone, and so are its connections.
    end: ({ way }: Site) => {
      way!.behave({ kind: 'pass' })
      way!.cut()
    }
  }))
]

export const faults: readonly Fault[] = [
  ...real.map((fault) => ({ ...fault, isOnTheWay: false })),
  ...onTheWay.map((fault) => ({ ...fault, isOnTheWay: true }))
]
