/**
 * Resolves when the process is asked to end: by SIGTERM, by SIGINT, or, under `npm start` and `npx`, by the end of the shell
 * that npm has put between, which takes SIGTERM for itself and does not pass it on. Asked a second time, it ends at once.
 */
export function askedToLeave(): Promise<void> {
  return new Promise((resolve) => {
    let askedAt: number | undefined
    const leave = (signal: string): void => {
      const now = performance.now()
      // Ctrl-C reaches the whole foreground group, and npm passes its own on as well: that is still one.
      if (askedAt !== undefined && (signal !== 'SIGINT' || now - askedAt > 100)) process.exit(1)
      askedAt ??= now
      resolve()
    }
    process.on('SIGTERM', leave)
    process.on('SIGINT', leave)
    if (process.env.npm_lifecycle_event === undefined) return
    const parent = process.ppid
    const watch = setInterval(() => {
      if (process.ppid === parent) return
      clearInterval(watch)
      leave('parent')
    }, 500).unref()
  })
}
