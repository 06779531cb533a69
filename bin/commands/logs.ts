import type { Command } from 'commander'
import type { OutputLine } from '../../services/runtime/output.ts'
import { toCount } from '../to-count.ts'

interface LogsOptions {
  readonly lines: number
  readonly json?: boolean
}

/** `toll logs NAME`: what a process of a service, or all of them, have written last. */
export function logsCommand(program: Command): void {
  program
    .command('logs')
    .description('print what a process or all processes of a service have written')
    .argument('<name>', 'a service, or one of its processes as "toll ps" names it')
    .option('-n, --lines <count>', 'how many of the last lines', toCount(100_000), 100)
    .option('--json', 'print the lines as JSON')
    .action(async (name: string, { lines, json }: LogsOptions, command: Command) => {
      const { adminRequest } = await import('../admin-client.ts')
      const path = `/admin/runtime/${encodeURIComponent(name)}/logs?lines=${lines}`
      const answer = (await adminRequest(command, 'GET', path)) as {
        lines: (OutputLine & { process: string })[]
      }
      process.stdout.write(
        json === true
          ? `${JSON.stringify(answer)}\n`
          : answer.lines
              .map(
                ({ process, stream, text }) => `${process} | ${stream === 'runtime' ? `[${text}]` : text}\n`
              )
              .join('')
      )
    })
}
