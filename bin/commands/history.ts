import type { Command } from 'commander'
import { say } from '../say.ts'

interface Kept {
  readonly revision: string
  readonly at: string
  readonly by: string
  readonly reason: string
  readonly changes: readonly string[]
}

/** `toll history` and `toll rollback`: the configs that served, and putting one of them back. */
export function historyCommand(program: Command): void {
  program
    .command('history')
    .description('list the configs that served, the newest first: revision, since when, by whom, changes')
    .option('--json', 'print the list as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { adminRequest } = await import('../admin-client.ts')
      const answer = (await adminRequest(command, 'GET', '/admin/config/history')) as {
        serving: string
        revisions: readonly Kept[]
      }
      const newest = answer.revisions.findIndex(({ revision }) => revision === answer.serving)
      const lines = answer.revisions.map(({ revision, at, by, reason, changes }, index) =>
        [index === newest ? `${revision} *` : revision, at, by, changes.join('; ') || reason].join('\t')
      )
      say(json, answer, lines.length === 0 ? 'None was kept.' : lines.join('\n'))
    })

  program
    .command('rollback <revision>')
    .description('put a config that served before into the file, and have it serve')
    .option('--force', 'also over a file that was changed and does not serve yet')
    .option('--json', 'print the answer as JSON')
    .action(
      async (revision: string, { force, json }: { force?: boolean; json?: boolean }, command: Command) => {
        const { changeConfig } = await import('../config-change.ts')
        const body = { revision }
        const answer = await changeConfig(command, 'POST', '/admin/config/rollback', { body }, force)
        const { changes = [] } = answer
        say(json, answer, [`Revision ${revision} serves again.`, ...changes].join('\n  '))
      }
    )
}
