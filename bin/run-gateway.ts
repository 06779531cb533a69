import { renderMistakes } from '../config/frame.ts'
import { ConfigError } from '../config/mistake.ts'
import { Gateway } from '../gateway.ts'
import { causeCode } from '../plugins/problem.ts'
import { LineWriter } from '../services/telemetry/line-writer.ts'
import { createLog, type Log, type LogFormat } from '../services/telemetry/log.ts'
import { hasDemoUsers } from './demo-files.ts'
import { askedToLeave } from './leave.ts'

export interface RunOptions {
  readonly path: string
  /** Starts the processes of `services.X.run`. */
  readonly runtime?: boolean
  /** Overrides the config's log format. */
  readonly format?: LogFormat
  /** Called once it serves, before the first line of the log. */
  readonly onServing?: (gateway: Gateway) => void
}

/** Runs a gateway until a signal ends it. Resolves with the exit code: 0 after a drain, 1 when it could not start, 2 for a refused config. */
export async function runGateway({ path, runtime, format, onServing }: RunOptions): Promise<number> {
  // From here on a signal waits until the gateway can be stopped whole.
  const asked = askedToLeave()
  const lines = new LineWriter(process.stdout)
  let gateway: Gateway
  let log: Log
  try {
    gateway = await Gateway.start({
      path,
      output: process.stdout,
      runtime: runtime ?? false,
      speak: ({ value, warnings }) => {
        const chosen = format ?? formatOf(value.log.format)
        const log = createLog(lines, chosen, value.log.level)
        for (const warning of warnings) log.warn(warning.sentence)
        if (runtime !== true && hasDemoUsers(value)) log.warn(demoUsersWarning)
        return { log, lines, format: chosen }
      }
    })
    const { public: open, admin } = gateway.addresses
    onServing?.(gateway)
    log = gateway.log
    log.info({ public: open, admin, revision: gateway.config.revision, pid: process.pid }, 'serving')
    process.on('SIGHUP', () => void gateway.reload('SIGHUP'))
    surviveFaults(log)
  } catch (error) {
    lines.close()
    process.stderr.write(`${startFailure(error)}\n`)
    return error instanceof ConfigError ? 2 : 1
  }
  await asked
  log.info('leaving: no new connections, requests under way may finish')
  await gateway.stop()
  log.info('left')
  lines.close()
  return 0
}

/**
 * A fault of ours that nobody caught must not end every connection of everybody else. Only its class and code are told: messages may
 * hold addresses or secrets; the stack is there at level debug.
 */
function surviveFaults(log: Log): void {
  const tell = (error: unknown) => {
    log.fatal({ cause: causeCode(error) }, 'a fault nobody caught; please report it')
    if (error instanceof Error) log.debug({ stack: error.stack }, 'cause')
  }
  process.on('unhandledRejection', tell)
  process.on('uncaughtException', tell)
}

const demoUsersWarning =
  'The users of the demo may sign in, and their passwords are published. Make your own with "toll user add".'

const formatOf = (format: LogFormat | 'auto'): LogFormat =>
  format === 'auto' ? (process.stdout.isTTY ? 'text' : 'json') : format

function startFailure(error: unknown): string {
  if (error instanceof ConfigError) return renderMistakes(error, { colour: process.stderr.isTTY })
  const { code, address, hostname, port, message } = error as NodeJS.ErrnoException & {
    address?: string
    hostname?: string
    port?: number
  }
  if (code === 'EADDRINUSE')
    return `toll: ${address}:${port} is taken by another process; stop it or change "listen".`
  if (code === 'EACCES' && port !== undefined)
    return `toll: port ${port} needs more rights; choose one above 1023 in "listen".`
  if (code === 'EADDRNOTAVAIL') return `toll: this machine has no address ${address}; change "listen".`
  if ((code === 'ENOTFOUND' || code === 'EAI_AGAIN') && hostname !== undefined)
    return `toll: no address is known for the host ${hostname}; correct it in the config.`
  return `toll: ${message}`
}
