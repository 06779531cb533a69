import type { Command } from 'commander'
import { say, sayTold, type Told } from '../say.ts'

interface Listed {
  readonly kind: string
  readonly value: string
  readonly until: string | null
}

const kinds = [
  ['session', 'SESSION', 'end a session and void its tokens'],
  ['user', 'USER', 'end every session of a user and void all their tokens'],
  ['token', 'JTI', 'void one access token, by its claim "jti"'],
  ['client', 'NAME', 'void the tokens of a client and let it in no more, until that is lifted']
] as const

/** `toll revoke session|user|token|client|ls|lift`: voiding tokens before their time, at every running gateway. */
export function revokeCommand(program: Command): void {
  const revoke = program
    .command('revoke')
    .description('void tokens before their time')
    .addHelpText(
      'after',
      '\nExit codes: 0 in force at every gateway, 3 at this one only so far, 1 otherwise.'
    )

  for (const [kind, value, description] of kinds) {
    revoke
      .command(`${kind} <${value}>`)
      .description(description)
      .option('--json', 'print the answer as JSON')
      .action(async (given: string, { json }: { json?: boolean }, command: Command) => {
        const answer = await request(command, 'POST', '/admin/revocations', { [kind]: given })
        sayTold(json, { propagated: true, ...(answer as Told) }, `Revoked ${kind} ${given}.`)
      })
  }

  revoke
    .command('lift <kind> <value>')
    .description('let a client in again that was revoked: toll revoke lift client NAME')
    .option('--json', 'print the answer as JSON')
    .action(async (kind: string, value: string, { json }: { json?: boolean }, command: Command) => {
      if (kind !== 'client') throw new Error('only the revocation of a client can be lifted.')
      const answer = await request(
        command,
        'DELETE',
        `/admin/revocations/client/${encodeURIComponent(value)}`
      )
      sayTold(json, { propagated: true, ...(answer as Told) }, `Lifted: client ${value} may sign in again.`)
    })

  revoke
    .command('ls')
    .description('list what is revoked, a thousand at a time')
    .option('--offset <n>', 'how many to pass over', '0')
    .option('--json', 'print the list as JSON')
    .action(async ({ offset, json }: { offset: string; json?: boolean }, command: Command) => {
      const path = `/admin/revocations?limit=1000&offset=${encodeURIComponent(offset)}`
      const { revocations } = (await request(command, 'GET', path)) as { revocations: readonly Listed[] }
      const lines = revocations.map(({ kind, value, until }) =>
        [kind, value, until ?? 'until lifted'].join('\t')
      )
      say(json, revocations, lines.length === 0 ? 'Nothing is revoked.' : lines.join('\n'))
    })
}

async function request(command: Command, method: string, path: string, body?: unknown): Promise<unknown> {
  const { adminRequest } = await import('../admin-client.ts')
  return adminRequest(command, method, path, body)
}
