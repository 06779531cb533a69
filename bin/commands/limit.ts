import type { Command } from 'commander'
import { say } from '../say.ts'

interface Limit {
  readonly id: string
  readonly by: string
  readonly scope: string
  readonly qps?: number
  readonly slack?: number
  readonly quota?: number
  readonly window?: string
  readonly concurrency?: number
  readonly changed: boolean
  readonly shadow: boolean
  readonly figures: {
    readonly allowed: Readonly<Record<string, number>>
    readonly refused: Readonly<Record<string, number>>
  }
  readonly standing?: {
    readonly allowed: boolean
    readonly remaining: number
    readonly resetMs: number
  } | null
}

/** `toll limit ls|show|set|unset|reset`: the limits of the running gateways, and other numbers for them without a new config. */
export function limitCommand(program: Command): void {
  const limit = program.command('limit').description('list and change limits, at every gateway')

  limit
    .command('ls')
    .description('list limits: id, by what, how much, scope, allowed, refused, notes')
    .option('--json', 'print the answer as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const answer = (await request(command, 'GET', '')) as {
        store: string
        gateways: number
        limits: readonly Limit[]
      }
      const lines = answer.limits.map(line)
      if (answer.store === 'away') {
        lines.unshift('The store does not answer: each gateway decides by itself (onStoreError).')
      }
      say(json, answer, lines.length === 0 ? 'The config has no limits.' : lines.join('\n'))
    })

  limit
    .command('show <id>')
    .description('show one limit, and where one client of it stands')
    .option(
      '--key <key>',
      'whose count, as `toll explain` shows it under "counts": sub=anna, ip:192.0.2.7, all'
    )
    .option('--json', 'print the answer as JSON')
    .action(async (id: string, { key, json }: { key?: string; json?: boolean }, command: Command) => {
      const query = key === undefined ? '' : `?key=${encodeURIComponent(key)}`
      const one = (await request(command, 'GET', `/${encodeURIComponent(id)}${query}`)) as Limit
      say(json, one, [line(one), ...(key === undefined ? [] : [standing(key, one)])].join('\n'))
    })

  limit
    .command('set <id>')
    .description('give a limit other numbers at every gateway, until `toll limit unset`')
    .option('--qps <n>', 'units a second')
    .option('--slack <n>', 'units that may come early')
    .option('--quota <n>', 'units in a window')
    .option('--window <duration>', 'length of the window, such as 1h')
    .option('--concurrency <n>', 'requests under way at the same time')
    .option('--json', 'print the limit as JSON')
    .action(
      async (id: string, { json, ...options }: Record<string, string> & { json?: boolean }, command) => {
        const numbers = Object.fromEntries(
          Object.entries(options).map(([name, value]) => [name, name === 'window' ? value : Number(value)])
        )
        const one = (await request(command, 'PUT', `/${encodeURIComponent(id)}`, numbers)) as Limit
        say(json, one, line(one))
      }
    )

  limit
    .command('unset <id>')
    .description('take the numbers of the config again')
    .option('--json', 'print the limit as JSON')
    .action(async (id: string, { json }: { json?: boolean }, command: Command) => {
      const one = (await request(command, 'DELETE', `/${encodeURIComponent(id)}`)) as Limit
      say(json, one, line(one))
    })

  limit
    .command('reset <id> <key>')
    .description('set back what was counted for one client')
    .action(async (id: string, key: string, _options: object, command: Command) => {
      const path = `/${encodeURIComponent(id)}/counts?key=${encodeURIComponent(key)}`
      await request(command, 'DELETE', path)
      say(false, undefined, `${key} starts anew at ${id}.`)
    })
}

function line(limit: Limit): string {
  const { id, by, scope, changed, shadow, figures } = limit
  const notes = [changed ? 'changed' : [], shadow ? 'shadow' : []].flat().join(' ')
  return [id, by, amount(limit), scope, sum(figures.allowed), sum(figures.refused), notes]
    .join('\t')
    .trimEnd()
}

function amount({ qps, slack, quota, window, concurrency }: Limit): string {
  if (qps !== undefined) return `${qps}/s${slack === undefined ? '' : ` slack ${slack}`}`
  return quota === undefined ? `${concurrency} at once` : `${quota}/${window ?? '1d'}`
}

function standing(key: string, { standing }: Limit): string {
  if (standing === undefined || standing === null) return `${key}: the store cannot be asked now.`
  const { allowed, remaining, resetMs } = standing
  return `${key}: ${remaining} left, ${allowed ? 'the next request passes' : 'the next request is refused'}; whole again in ${Math.ceil(resetMs / 1000)} s.`
}

const sum = (by: Readonly<Record<string, number>>): number =>
  Object.values(by).reduce((all, one) => all + one, 0)

async function request(command: Command, method: string, path: string, body?: unknown): Promise<unknown> {
  const { adminRequest } = await import('../admin-client.ts')
  return adminRequest(command, method, `/admin/limits${path}`, body)
}
