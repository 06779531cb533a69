import type { LineWriter } from './line-writer.ts'
import type { Log, LogFormat } from './log.ts'

/** How the gateway tells what it does. */
export interface Speech {
  readonly log: Log
  readonly lines: LineWriter
  readonly format: LogFormat
}
