import type { Command } from 'commander'
import { say } from '../say.ts'

interface Sink {
  readonly name: string
  readonly kind: string
  readonly state: string
  readonly queued: number
  readonly sent: number
  readonly dropped: number
  readonly failed: number
  readonly sampled: number
  readonly lastError: { readonly at: string; readonly why: string } | null
}

/** `toll log sinks`: where the access log of the running gateway goes, and how that goes. */
export function logCommand(program: Command): void {
  const log = program.command('log').description('show where the access log goes')

  log
    .command('sinks')
    .description('list sinks: name, kind, state, and the lines that wait, were sent, dropped and refused')
    .option('--json', 'print the list as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { adminRequest } = await import('../admin-client.ts')
      const { sinks } = (await adminRequest(command, 'GET', '/admin/logs/sinks')) as {
        sinks: readonly Sink[]
      }
      say(json, sinks, sinks.length === 0 ? 'The config has no sinks.' : sinks.map(line).join('\n'))
    })
}

function line({ name, kind, state, queued, sent, dropped, failed, lastError }: Sink): string {
  const counts = [`${queued} wait`, `${sent} sent`, `${dropped} dropped`, `${failed} refused`]
  const error = lastError === null ? [] : [`${lastError.at} ${lastError.why}`]
  return [name, kind, state, ...counts, ...error].join('\t')
}
