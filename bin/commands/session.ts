import type { Command } from 'commander'
import { say, sayTold, type Told } from '../say.ts'

interface Listed {
  readonly id: string
  readonly user: string
  readonly last_seen_at: string
  readonly address: string
}

/** `toll session ls|kick|count`: who is signed in at the running gateway, and ending that. */
export function sessionCommand(program: Command): void {
  const session = program.command('session').description('list, count and end sessions')

  session
    .command('ls')
    .description('list sessions, the one used last first')
    .option('--user <id>', 'only those of one user')
    .option('--json', 'print the list as JSON')
    .action(async ({ user, json }: { user?: string; json?: boolean }, command: Command) => {
      const query = user === undefined ? '?limit=1000' : `?user=${encodeURIComponent(user)}`
      const { sessions } = (await request(command, 'GET', `/admin/sessions${query}`)) as {
        sessions: readonly Listed[]
      }
      const lines = sessions.map(({ id, user, last_seen_at, address }) =>
        [id, user, last_seen_at, address].join('\t')
      )
      say(json, sessions, lines.length === 0 ? 'Nobody is signed in.' : lines.join('\n'))
    })

  session
    .command('kick [session]')
    .description('end one session, or all of a user, at once; exit code 3: at this gateway only so far')
    .option('--user <id>', 'end every session of this user')
    .option('--json', 'print the answer as JSON')
    .action(
      async (
        sid: string | undefined,
        { user, json }: { user?: string; json?: boolean },
        command: Command
      ) => {
        if ((sid === undefined) === (user === undefined)) {
          throw new Error('name one session, or a user with --user.')
        }
        if (user !== undefined) {
          const path = `/admin/users/${encodeURIComponent(user)}/sessions`
          const answer = (await request(command, 'DELETE', path)) as Told & { ended?: number }
          sayTold(json, answer, `Ended ${answer.ended ?? 'all'} of "${user}".`)
          return
        }
        const answer = (await request(command, 'DELETE', `/admin/sessions/${encodeURIComponent(sid!)}`)) as
          | Told
          | undefined
        sayTold(json, { ended: 1, ...answer } as Told, `Ended ${sid}.`)
      }
    )

  session
    .command('count')
    .description('count sessions and users')
    .option('--json', 'print the answer as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const online = (await request(command, 'GET', '/admin/online')) as { sessions: number; users: number }
      say(json, online, `${online.sessions} sessions of ${online.users} users.`)
    })
}

async function request(command: Command, method: string, path: string): Promise<unknown> {
  const { adminRequest } = await import('../admin-client.ts')
  return adminRequest(command, method, path)
}
