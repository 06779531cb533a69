import type { Command } from 'commander'
import type { ProcessStatus } from '../../services/runtime/local-process.ts'

/** `toll ps`: the local processes of the running gateway. */
export function psCommand(program: Command): void {
  program
    .command('ps')
    .description('list the processes the gateway runs for its services')
    .option('--json', 'print the list as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { adminRequest } = await import('../admin-client.ts')
      const answer = (await adminRequest(command, 'GET', '/admin/runtime')) as { processes: ProcessStatus[] }
      process.stdout.write(json === true ? `${JSON.stringify(answer)}\n` : table(answer.processes))
    })
}

function table(processes: readonly ProcessStatus[]): string {
  if (processes.length === 0)
    return 'The gateway runs no processes. It starts those of services with a "run" under "toll dev".\n'
  const rows = [
    ['NAME', 'STATUS', 'PID', 'RESTARTS', 'NODE', 'NOTE'],
    ...processes.map(({ name, status, pid, restarts, node, note }) => [
      name,
      status,
      String(pid ?? '-'),
      String(restarts),
      node ?? '-',
      note ?? ''
    ])
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd()}\n`
    )
    .join('')
}
