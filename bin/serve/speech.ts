import type { GatewayConfig } from '../../app.ts'
import { causeCode } from '../../plugins/problem.ts'
import type { LineWriter } from '../../services/telemetry/line-writer.ts'
import { createLog, type Log, type LogFormat } from '../../services/telemetry/log.ts'
import type { Speech } from '../../services/telemetry/speech.ts'
import { hasDemoUsers } from '../demo-files.ts'

export interface Voice {
  readonly lines: LineWriter
  /** Overrides the config's log format. */
  readonly format?: LogFormat | undefined
  /** Whether people read what is written. */
  readonly isTerminal: boolean
  /** The users of the demo are meant to be there. */
  readonly isDemo?: boolean
  /** Leaves warnings to another process. */
  readonly isQuiet?: boolean
}

/** How a gateway tells what it does, as its config has it; what is doubtful about that is told first. */
export function speechOf({ value, warnings }: GatewayConfig, voice: Voice): Speech {
  const { lines, isTerminal } = voice
  const { format: configured, level } = value.log
  const format = voice.format ?? (configured === 'auto' ? (isTerminal ? 'text' : 'json') : configured)
  const log = createLog(lines, format, level)
  if (voice.isQuiet !== true) {
    for (const warning of warnings) log.warn(warning.sentence)
    if (voice.isDemo !== true && hasDemoUsers(value)) log.warn(demoUsersWarning)
  }
  return { log, lines, format }
}

const demoUsersWarning =
  'The users of the demo may sign in, and their passwords are published. Make your own with "toll user add".'

/**
 * A fault of ours that nobody caught must not end every connection of everybody else. Only its class and code are told: messages may
 * hold addresses or secrets; the stack is there at level debug.
 */
export function surviveFaults(log: Log): void {
  const tell = (error: unknown) => {
    log.fatal({ cause: causeCode(error) }, 'a fault nobody caught; please report it')
    if (error instanceof Error) log.debug({ stack: error.stack }, 'cause')
  }
  process.on('unhandledRejection', tell)
  process.on('uncaughtException', tell)
}
