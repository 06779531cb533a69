import type { Log } from '../../services/telemetry/log.ts'

/** How a process that serves comes to its end. */
export interface HandOver {
  /** Starts another process, which takes over; resolves with its pid. Rejects when it does not come to that, and this one serves on. */
  upgrade(): Promise<number>
  /** Resolves when this process is to leave, with whether another one serves on. */
  left(log: Log): Promise<boolean>
}

/** `succeed` starts a process that takes over. It is asked to by SIGUSR2 and by the admin API. */
export function handOver(asked: Promise<void>, succeed: () => Promise<number>): HandOver {
  let leave: (isSucceeded: boolean) => void
  const leaving = new Promise<boolean>((resolve) => {
    leave = resolve
  })
  let succession: Promise<number> | undefined
  const upgrade = (): Promise<number> => {
    succession ??= succeed().finally(() => {
      succession = undefined
    })
    return succession.then((pid) => {
      leave(true)
      return pid
    })
  }
  let serving: Log | undefined
  process.on('SIGUSR2', () => {
    // Before it serves there is nothing to hand over, and the signal must not end it.
    const log = serving
    if (log === undefined) return
    log.info('another process is started to take over')
    upgrade().catch((error: Error) =>
      log.error({ cause: error.message }, 'no other process took over; this one serves on')
    )
  })
  const left = async (log: Log): Promise<boolean> => {
    serving = log
    void asked.then(() => leave(false))
    const isSucceeded = await leaving
    log.info(
      isSucceeded
        ? 'leaving: another process has taken over'
        : 'leaving: no new connections, requests under way may finish'
    )
    return isSucceeded
  }
  return { upgrade, left }
}
