import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

const script = fileURLToPath(new URL('./reaper-process.js', import.meta.url))

/**
 * Ends the process groups of a gateway that died without saying so (SIGKILL, out of memory, a crash).
 *
 * It is a process of its own that reads the groups' ids from a pipe: the kernel closes the pipe when the gateway dies, in
 * whichever way, and then it ends the groups that are left.
 */
export class Reaper {
  readonly #process: ChildProcessByStdio<Writable, null, null>

  constructor() {
    this.#process = spawn(process.execPath, ['--max-old-space-size=32', script], {
      detached: true,
      env: {},
      stdio: ['pipe', 'ignore', 'ignore']
    })
    // Without its reaper the gateway runs on; only its sudden death would leave processes behind.
    this.#process.on('error', () => undefined)
    this.#process.stdin.on('error', () => undefined)
    this.#process.unref()
    ;(this.#process.stdin as Writable & { unref?(): void }).unref?.()
  }

  watch(leader: number): void {
    this.#process.stdin.write(`+${leader}\n`)
  }

  forget(leader: number): void {
    this.#process.stdin.write(`-${leader}\n`)
  }

  close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.pid === undefined) return Promise.resolve()
    return new Promise((resolve) => {
      this.#process.once('exit', () => resolve())
      this.#process.ref()
      this.#process.stdin.end()
    })
  }
}
