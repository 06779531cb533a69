import type { Command } from 'commander'
import type { WorkerState } from '../../services/workers/messages.ts'
import { say } from '../say.ts'

/** `toll workers`: the processes of the running gateway, and their replacement. */
export function workersCommand(program: Command): void {
  program
    .command('workers')
    .description('list the processes that serve: number, pid, state, since when')
    .option('--restart', 'replace each by a new one, one after the other, without a request lost')
    .option('--json', 'print the list as JSON')
    .action(async ({ restart, json }: { restart?: boolean; json?: boolean }, command: Command) => {
      const { adminRequest } = await import('../admin-client.ts')
      const answer = (await (restart === true
        ? adminRequest(command, 'POST', '/admin/workers/restart')
        : adminRequest(command, 'GET', '/admin/workers'))) as { readonly workers: readonly WorkerState[] }
      const lines = answer.workers.map(({ number, pid, state, since }) =>
        [number, pid, state, since].join('\t')
      )
      const sentence = 'The first new worker serves; the others follow one after the other.'
      say(json, answer, (restart === true ? [sentence, ...lines] : lines).join('\n'))
    })
}
