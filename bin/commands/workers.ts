import type { Command } from 'commander'
import type { WorkerState } from '../../services/workers/messages.ts'
import { say } from '../say.ts'

/** Milliseconds a new process may take until it serves. */
const patience = 90_000

/** `toll workers` and `toll upgrade`: the processes of the running gateway, and their replacement. */
export function workersCommand(program: Command): void {
  program
    .command('workers')
    .description('list the processes that serve: number, pid, state, since when')
    .option('--restart', 'replace each by a new one, one after the other, without a request lost')
    .option('--json', 'print the list as JSON')
    .action(async ({ restart, json }: { restart?: boolean; json?: boolean }, command: Command) => {
      const { adminExchange } = await import('../admin-client.ts')
      const { answer } = await (restart === true
        ? adminExchange(command, 'POST', '/admin/workers/restart', { patience })
        : adminExchange(command, 'GET', '/admin/workers'))
      const { workers } = answer as { readonly workers: readonly WorkerState[] }
      const lines = workers.map(({ number, pid, state, since }) => [number, pid, state, since].join('\t'))
      const sentence = 'The first new worker serves; the others follow one after the other.'
      say(json, answer, (restart === true ? [sentence, ...lines] : lines).join('\n'))
    })

  program
    .command('upgrade')
    .description('start what is on the disk now as another process, which takes over without a request lost')
    .option('--json', 'print the answer as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { adminExchange } = await import('../admin-client.ts')
      const { answer } = await adminExchange(command, 'POST', '/admin/upgrade', { patience })
      const { pid } = answer as { readonly pid: number }
      say(json, answer, `Process ${pid} serves now; the one before leaves.`)
    })
}
