import type { Writable } from 'node:stream'
import { type Logger, pino } from 'pino'
import type { LineWriter } from './line-writer.ts'

export type Log = Logger

export type LogFormat = 'json' | 'text'

/** The gateway's own log. `text` is for people at a terminal, `json` (one object a line) for collectors. */
export function createLog(out: LineWriter, format: LogFormat, level: string): Log {
  const destination: Pick<Writable, 'write'> = {
    write: (line: string) => {
      const whole = line.trimEnd()
      out.write(format === 'json' ? whole : textLine(whole))
      for (const listen of out.listeners) listen(whole)
      return true
    }
  }
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) }
    },
    destination as Writable
  )
}

/** `07:31:02 warn  request failed code=UPSTREAM_CONNECT requestId=x-1` out of a JSON line. */
export function textLine(line: string): string {
  const { time, level, msg, ...rest } = JSON.parse(line) as Record<string, unknown>
  const fields = Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  return [String(time).slice(11, 19), String(level).padEnd(5), msg ?? '', ...fields].join(' ').trimEnd()
}
