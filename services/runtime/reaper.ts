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
  #process: ChildProcessByStdio<Writable, null, null> | undefined

  watch(leader: number): void {
    // Started with the first process it has to watch, after that one: the process has to serve soon, the reaper has time.
    this.#process ??= startReaper()
    this.#process.stdin.write(`+${leader}\n`)
  }

  forget(leader: number): void {
    this.#process?.stdin.write(`-${leader}\n`)
  }

  /** For when every group has been ended: there is nothing left to watch. */
  close(): void {
    this.#process?.kill('SIGKILL')
    this.#process = undefined
  }
}

function startReaper(): ChildProcessByStdio<Writable, null, null> {
  const reaper = spawn(process.execPath, ['--max-old-space-size=32', script], {
    detached: true,
    env: {},
    stdio: ['pipe', 'ignore', 'ignore']
  })
  // Without its reaper the gateway runs on; only its sudden death would leave processes behind.
  reaper.on('error', () => undefined)
  reaper.stdin.on('error', () => undefined)
  reaper.unref()
  ;(reaper.stdin as Writable & { unref?(): void }).unref?.()
  return reaper
}
