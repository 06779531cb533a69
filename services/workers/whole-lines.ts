import type { Readable } from 'node:stream'

const newline = 10

/**
 * Passes on what comes in whole lines, so that the lines of several sources can go the same way. Resolves at the end of the source; a line
 * that was broken off there is passed on as one.
 */
export function passWholeLines(source: Readable, write: (lines: Buffer) => void): Promise<void> {
  let parts: Buffer[] = []
  return new Promise((resolve) => {
    source.on('data', (chunk: Buffer) => {
      const end = chunk.lastIndexOf(newline) + 1
      if (end === 0) {
        parts.push(chunk)
        return
      }
      const lines = chunk.subarray(0, end)
      write(parts.length === 0 ? lines : Buffer.concat([...parts, lines]))
      parts = end === chunk.length ? [] : [chunk.subarray(end)]
    })
    source.once('close', () => {
      if (parts.length > 0) write(Buffer.concat([...parts, Buffer.of(newline)]))
      resolve()
    })
  })
}
