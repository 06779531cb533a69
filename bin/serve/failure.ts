import { renderMistakes } from '../../config/frame.ts'
import { ConfigError } from '../../config/mistake.ts'
import type { ListenFault } from '../../services/workers/messages.ts'

/** Says on standard error why a gateway could not start, and the way out. Returns the exit code: 2 for a refused config, 1 for the rest. */
export function tellFailure(error: unknown): number {
  process.stderr.write(`${sentence(error)}\n`)
  return error instanceof ConfigError ? 2 : 1
}

function sentence(error: unknown): string {
  if (error instanceof ConfigError) return renderMistakes(error, { colour: process.stderr.isTTY })
  const { code, address, hostname, port, message } = error as Error & ListenFault
  if (code === 'EADDRINUSE')
    return `toll: ${address}:${port} is taken by another process; stop it or change "listen".`
  if (code === 'EACCES' && port !== undefined)
    return `toll: port ${port} needs more rights; choose one above 1023 in "listen".`
  if (code === 'EADDRNOTAVAIL') return `toll: this machine has no address ${address}; change "listen".`
  if ((code === 'ENOTFOUND' || code === 'EAI_AGAIN') && hostname !== undefined)
    return `toll: no address is known for the host ${hostname}; correct it in the config.`
  return `toll: ${message}`
}
