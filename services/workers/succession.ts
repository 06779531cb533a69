import { fork } from 'node:child_process'
import type { Server } from 'node:net'
import type { Inherit, Side, Sides } from './entrance.ts'

/** Tells a process that its parent wants to hand over to it. */
const sign = 'TOLL_SUCCEEDS'

/** Milliseconds a new process may take until it serves. */
const patience = 60_000

type ToSuccessor = { readonly kind: 'server'; readonly side: Side } | { readonly kind: 'all' }
type FromSuccessor = { readonly kind: 'open'; readonly listen: Sides<string> } | { readonly kind: 'serving' }

export interface Inheritance {
  /** The "host:port" of each. */
  readonly listen: Sides<string>
  readonly servers: Sides<Server>
}

/**
 * Starts the same command anew, as it is on the disk now, and gives it what listens here where it wants to listen on the same. Resolves with
 * its pid once it serves: then both take connections, and this one can leave. Rejects when it does not come to that.
 */
export async function startSuccessor({ listen, servers }: Inheritance): Promise<number> {
  const { npm_lifecycle_event: _, ...env } = process.env
  const child = fork(process.argv[1]!, process.argv.slice(2), {
    env: { ...env, [sign]: '1' },
    stdio: ['inherit', 'inherit', 'inherit', 'ipc']
  })
  const say = (message: ToSuccessor, server?: Server): void => {
    child.send(message, server, () => {})
  }
  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        child.kill()
        reject(new Error(`it did not serve within ${patience / 1000} s`))
      }, patience)
      child.once('error', reject)
      child.once('exit', (code, signal) => {
        clearTimeout(timer)
        reject(new Error(`it ended with ${signal ?? `code ${code}`} before it served`))
      })
      child.on('message', (message) => {
        const said = message as FromSuccessor
        if (said.kind === 'serving') {
          clearTimeout(timer)
          resolve()
          return
        }
        for (const side of ['public', 'admin'] as const)
          if (said.listen[side] === listen[side]) say({ kind: 'server', side }, servers[side])
        say({ kind: 'all' })
      })
    })
  } finally {
    if (child.connected) child.disconnect()
    child.unref()
  }
  return child.pid!
}

export interface Predecessor {
  readonly inherit: Inherit
  /** This process serves now. */
  leave(): void
}

/** The process that hands over to this one; undefined for one that was started by somebody else. */
export function predecessorOf(): Predecessor | undefined {
  const isSuccessor = process.env[sign] !== undefined && process.send !== undefined
  // Not for the processes that this one starts.
  delete process.env[sign]
  if (!isSuccessor) return undefined
  const say = (message: FromSuccessor): void => {
    if (process.connected) process.send!(message, undefined, undefined, () => {})
  }
  return {
    inherit: (servers, listen) =>
      new Promise((resolve) => {
        const found = new Set<Side>()
        process.on('message', (message, handle) => {
          const said = message as ToSuccessor
          if (said.kind === 'all') {
            resolve(found)
            return
          }
          // At once: what comes here takes connections already, and has nobody to give them to.
          servers[said.side].listen(handle as Server)
          found.add(said.side)
        })
        // It listens by itself, where the other one has gone meanwhile.
        process.once('disconnect', () => resolve(found))
        say({ kind: 'open', listen })
      }),
    leave: () => {
      say({ kind: 'serving' })
      process.removeAllListeners('message')
    }
  }
}
