import { existsSync, readFileSync } from 'node:fs'
import { Writable } from 'node:stream'
import { Value } from '@sinclair/typebox/value'
import { createRuntime, type RunnableService, type Runtime } from '../../services/runtime/runtime.ts'
import { runSlice, runtimeSlice } from '../../services/runtime/slice.ts'

/** A run entry with the defaults of its slice, as a config would have it. */
export function run(command: readonly string[], more: object = {}): NonNullable<RunnableService['run']> {
  return Value.Parse(runSlice, { command, ...more })
}

/** Source of an HTTP server that answers "hello" and says so when it listens. */
export const hello = `require('node:http').createServer((q, r) => r.end('hello')).listen(process.env.PORT, process.env.HOST,
  () => console.log('listening', process.env.PORT))`

/** A runtime whose output is kept, and its `apply` with the defaults of the slice. */
export function startRuntime(): {
  readonly runtime: Runtime
  readonly printed: () => string
  readonly apply: (services: Record<string, RunnableService>, options?: object) => Promise<void>
} {
  let text = ''
  const output = new Writable({
    write(chunk, _encoding, done) {
      text += chunk
      done()
    }
  })
  const runtime = createRuntime({ output })
  return {
    runtime,
    printed: () => text,
    apply: (services, options = {}) =>
      runtime.apply({ services, options: Value.Parse(runtimeSlice, options), directory: process.cwd() })
  }
}

/** Waits, for at most ten seconds, until something holds. */
export async function until(holds: () => unknown): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`did not come: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Whether a process is running: one that has ended and only waits to be collected (a zombie) is not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  const path = `/proc/${pid}/stat`
  return !existsSync(path) || !/^\d+ \(.*\) Z/.test(readFileSync(path, 'utf8'))
}

/** The process ids that processes of a service have said ("pid 123"). */
export const saidPids = (runtime: Runtime, service: string): number[] =>
  (runtime.log(service, 100) ?? []).flatMap(({ text }) =>
    text.startsWith('pid ') ? Number(text.slice(4)) : []
  )
