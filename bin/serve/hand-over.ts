import type { Log } from '../../services/telemetry/log.ts'

/**
 * Waits until this process is to leave: because it was asked to, or because another one has taken over, which SIGUSR2 asks for. Resolves with
 * whether another one serves on.
 */
export function handOver(asked: Promise<void>, log: Log, succeed: () => Promise<number>): Promise<boolean> {
  return new Promise((resolve) => {
    let isHandingOver = false
    void asked.then(() => {
      log.info('leaving: no new connections, requests under way may finish')
      resolve(false)
    })
    process.on('SIGUSR2', async () => {
      if (isHandingOver) return
      isHandingOver = true
      log.info('another process is started to take over')
      try {
        const successor = await succeed()
        log.info({ successor }, 'leaving: another process has taken over')
        resolve(true)
      } catch (error) {
        log.error({ cause: (error as Error).message }, 'no other process took over; this one serves on')
      } finally {
        isHandingOver = false
      }
    })
  })
}
