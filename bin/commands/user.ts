import { resolve } from 'node:path'
import type { Command } from 'commander'
import { say } from '../say.ts'

interface Options {
  readonly password?: string
  readonly scope?: readonly string[]
  readonly role?: readonly string[]
  readonly json?: boolean
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value]

/** `toll user add|passwd|rm|ls|unlock`: edits the users file that the config names; a running gateway takes it over by itself. */
export function userCommand(program: Command): void {
  const user = program.command('user').description('edit the users file (auth.users)')

  user
    .command('add <name>')
    .description('add a user; the password is asked for, or read from a pipe')
    .option(
      '--password <password>',
      'the password (others on this machine can see it while the command runs)'
    )
    .option('--scope <scope>', 'a scope of the user; may be repeated', collect)
    .option('--role <role>', 'a role of the user; may be repeated', collect)
    .option('--json', 'print the answer as JSON')
    .action(async (name: string, { password, scope = [], role = [], json }: Options, command: Command) => {
      const { addUser } = await import('../../services/identity/users/user-editing.ts')
      const { readPassword } = await import('../read-password.ts')
      const path = await usersPath(command)
      await addUser(path, name, {
        password: await readPassword(password, `Password for ${name}: `),
        scopes: scope,
        roles: role
      })
      say(json, { user: name, path }, `Added "${name}" to ${path}.`)
    })

  user
    .command('passwd <name>')
    .description('change a password; a running gateway ends the sessions begun with the old one')
    .option(
      '--password <password>',
      'the password (others on this machine can see it while the command runs)'
    )
    .option('--json', 'print the answer as JSON')
    .action(async (name: string, { password, json }: Options, command: Command) => {
      const { changePassword } = await import('../../services/identity/users/user-editing.ts')
      const { readPassword } = await import('../read-password.ts')
      const path = await usersPath(command)
      await changePassword(path, name, await readPassword(password, `New password for ${name}: `))
      say(json, { user: name, path }, `Changed the password of "${name}".`)
    })

  user
    .command('rm <name>')
    .description('remove a user; a running gateway ends their sessions')
    .option('--json', 'print the answer as JSON')
    .action(async (name: string, { json }: Options, command: Command) => {
      const { removeUser } = await import('../../services/identity/users/user-editing.ts')
      const path = await usersPath(command)
      await removeUser(path, name)
      say(json, { user: name, path }, `Removed "${name}" from ${path}.`)
    })

  user
    .command('unlock <name>')
    .description('let a user sign in again who was locked out by wrong passwords')
    .option('--json', 'print the answer as JSON')
    .action(async (name: string, { json }: Options, command: Command) => {
      const { adminRequest } = await import('../admin-client.ts')
      const path = `/admin/lockouts/${encodeURIComponent(name)}`
      const answer = (await adminRequest(command, 'DELETE', path)) as { unlocked: number }
      say(json, answer, answer.unlocked === 0 ? `"${name}" was not locked.` : `Unlocked "${name}".`)
    })

  user
    .command('ls')
    .description('list the users')
    .option('--json', 'print the list as JSON')
    .action(async ({ json }: Options, command: Command) => {
      const { readUsers } = await import('../../services/identity/users/user-editing.ts')
      const { users } = await readUsers(await usersPath(command))
      const rows = Object.entries(users).map(([name, { scopes = [], roles = [], disabled = false }]) => ({
        user: name,
        scopes,
        roles,
        disabled
      }))
      const lines = rows.map(({ user: name, scopes, roles, disabled }) =>
        [name, scopes.join(' ') || '-', roles.join(' ') || '-', disabled ? 'disabled' : '']
          .join('\t')
          .trimEnd()
      )
      say(json, rows, lines.length === 0 ? 'There are no users.' : lines.join('\n'))
    })
}

async function usersPath(command: Command): Promise<string> {
  const { loadGatewayConfig } = await import('../../app.ts')
  const { configPath } = await import('../config-path.ts')
  const { value, directory } = await loadGatewayConfig(configPath(command))
  const users = value.auth?.users
  if (users === undefined) {
    throw new Error('the config has no users file; add "auth": { "users": { "path": "users.json" } }.')
  }
  if (users.driver !== 'file') {
    throw new Error(`the config has no users file: auth.users.driver is "${users.driver}".`)
  }
  return resolve(directory, users.path)
}
