import type { Command } from 'commander'
import { say } from '../say.ts'
import { toCount } from '../to-count.ts'

interface Event {
  readonly at: string
  readonly by: string
  readonly from?: string
  readonly what: string
  readonly to: string
  readonly status?: number
  readonly detail?: Readonly<Record<string, unknown>>
}

interface Options {
  readonly what?: string
  readonly by?: string
  readonly limit: number
  readonly json?: boolean
}

/** `toll audit`: who has done what to the running gateways, the newest first. */
export function auditCommand(program: Command): void {
  program
    .command('audit')
    .description('list who did what to the gateways: when, what, to what, status, by whom, from where')
    .option('--what <prefix>', 'only what begins so, such as ban. or session.kick')
    .option('--by <subject>', 'only what this subject did')
    .option('--limit <count>', 'how many at most', toCount(1000), 100)
    .option('--json', 'print the list as JSON')
    .action(async ({ what, by, limit, json }: Options, command: Command) => {
      const { adminRequest } = await import('../admin-client.ts')
      const query = new URLSearchParams({ limit: String(limit), ...(what && { what }), ...(by && { by }) })
      const { events, pending } = (await adminRequest(command, 'GET', `/admin/audit?${query}`)) as {
        events: readonly Event[]
        pending: number
      }
      const lines = events.map(({ at, what, to, status, by, from, detail }) =>
        [at, what, to || '-', status ?? '-', by, from ?? '-', ...(detail ? [JSON.stringify(detail)] : [])]
          .map((field) => visible(String(field)))
          .join('\t')
      )
      if (pending > 0) lines.push(`(${pending} more wait for the store)`)
      say(json, events, lines.length === 0 ? 'Nothing has happened yet.' : lines.join('\n'))
    })
}

/** A path may hold anything once decoded; a terminal is not to obey it. */
const visible = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}]/gu, '?')
