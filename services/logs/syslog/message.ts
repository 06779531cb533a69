/** What all messages of one sink have in common. */
export interface Header {
  readonly facility: number
  readonly hostname: string
  readonly appName: string
}

/** RFC 5424 6.2.1. */
const severities: Readonly<Record<string, number>> = {
  fatal: 2,
  error: 3,
  warn: 4,
  info: 6,
  debug: 7,
  trace: 7
}

/**
 * A line as a message (RFC 5424 6): its time and level are those of the line, MSGID is `access` or `gateway`, and the line itself is
 * the text. Without a byte order mark, which collectors that look for JSON take for a part of it.
 */
export function messageOf(line: string, { facility, hostname, appName }: Header): Buffer {
  const { time, level, msg } = JSON.parse(line) as Readonly<Record<string, unknown>>
  const priority = facility * 8 + (severities[String(level)] ?? 6)
  const at = typeof time === 'string' ? time : '-'
  const id = msg === 'request' ? 'access' : 'gateway'
  return Buffer.from(`<${priority}>1 ${at} ${hostname} ${appName} ${process.pid} ${id} - ${line}`)
}
