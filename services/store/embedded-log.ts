import { lastNumber, type Tables } from './embedded-transaction.ts'
import type { LogFollower, LogListener } from './store.ts'

const pollEveryMs = 20

export interface EmbeddedFollower extends LogFollower {
  /** Delivers what was appended since the last time. */
  poll(): void
}

/**
 * Follows a log of the embedded store by looking at its last number 50 times a second: what this process appends is delivered
 * before the append is acknowledged, what another process appends at most 20 ms (plus the event loop's lag) later.
 */
export function followEmbedded(
  tables: Tables,
  log: string,
  listener: LogListener,
  onClose: () => void
): EmbeddedFollower {
  let delivered = lastNumber(tables, log)
  const timer = setInterval(poll, pollEveryMs).unref()

  function poll(): void {
    const at = Date.now()
    tables.root.resetReadTxn()
    const last = lastNumber(tables, log)
    if (last !== delivered) deliver(last)
    listener.onFresh?.(at)
  }

  function deliver(last: number): void {
    const first = delivered + 1
    delivered = last
    // Behind what was delivered: the store's files were replaced under us.
    if (last < first) {
      listener.onGap?.()
      return
    }
    const rows = [...tables.logs.getRange({ start: [log, first], end: [log, last + 1] })]
    if (rows.length <= last - first) listener.onGap?.()
    for (const { value } of rows) listener.onEvent((value as [number, string])[1])
  }

  return {
    poll,
    async close() {
      clearInterval(timer)
      onClose()
    }
  }
}
