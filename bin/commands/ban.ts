import type { Command } from 'commander'
import { say } from '../say.ts'

interface Ban {
  readonly network: string
  readonly reason: string
  readonly evidence: Readonly<Record<string, number>>
  readonly since: string
  readonly until: string
  readonly level: number
  readonly by: string
}

interface Event {
  readonly at: string
  readonly by: string
  readonly from?: string
  readonly what: string
  readonly to: string
  readonly detail?: Readonly<Record<string, unknown>>
}

/** `toll ban ls|add|rm|events`: who is shut out, at every gateway on the store. */
export function banCommand(program: Command): void {
  const ban = program.command('ban').description('list, place and lift bans, at every gateway')

  ban
    .command('ls')
    .description('list bans: network, until, the how manieth, by whom, why')
    .option('--json', 'print the list as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const bans: Ban[] = []
      for (let total = 1; bans.length < total; ) {
        const page = (await request(command, 'GET', `?limit=1000&offset=${bans.length}`)) as {
          total: number
          bans: readonly Ban[]
        }
        bans.push(...page.bans)
        total = page.bans.length === 0 ? 0 : page.total
      }
      say(json, bans, bans.length === 0 ? 'Nobody is banned.' : bans.map(line).join('\n'))
    })

  ban
    .command('add <network>')
    .description('shut an address or a CIDR range out')
    .option('--for <duration>', 'for how long, such as 10m, 24h or 7d', '1h')
    .option('--reason <text>', 'why; kept with the ban', 'by hand')
    .option('--json', 'print the ban as JSON')
    .action(
      async (
        network: string,
        { for: ttl, reason, json }: { for: string; reason: string; json?: boolean },
        command: Command
      ) => {
        const which = network.includes('/') ? { cidr: network } : { ip: network }
        const placed = (await request(command, 'POST', '', { ...which, ttl, reason })) as Ban
        say(json, placed, `${placed.network} is banned until ${placed.until}.`)
      }
    )

  ban
    .command('rm <network>')
    .description('let an address or a range in again')
    .option('--forget', 'and begin with the shortest ban the next time')
    .action(async (network: string, { forget }: { forget?: boolean }, command: Command) => {
      const query = forget === true ? '?forget=true' : ''
      await request(command, 'DELETE', `/${encodeURI(network)}${query}`)
      say(false, undefined, `${network} may come in again.`)
    })

  ban
    .command('events')
    .description('who was banned and let in again, by whom and when, the newest first')
    .option('--json', 'print the list as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { events } = (await request(command, 'GET', '/events?limit=1000')) as { events: readonly Event[] }
      const lines = events.map(({ at, what, to, by, from, detail }) =>
        [at, what, to, by, from ?? '-', JSON.stringify(detail ?? {})].join('\t')
      )
      say(json, events, lines.length === 0 ? 'Nothing has happened yet.' : lines.join('\n'))
    })
}

function line({ network, until, level, by, reason, evidence }: Ban): string {
  const counted = Object.entries(evidence).map(([signal, count]) => `${signal} ${count}`)
  return [network, until, level, by, [reason, ...counted].join(', ')].join('\t')
}

async function request(command: Command, method: string, path: string, body?: unknown): Promise<unknown> {
  const { adminRequest } = await import('../admin-client.ts')
  return adminRequest(command, method, `/admin/bans${path}`, body)
}
