import { relative } from 'node:path'
import type { Command } from 'commander'
import { configPath } from '../config-path.ts'

/** `toll dev`: serves the config here with its services, and tells on the terminal what happens. */
export function devCommand(program: Command): void {
  program
    .command('dev')
    .description('serve the config, start the services it has a "run" for, and show what happens')
    .option('--json', 'log as JSON lines')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const path = configPath(command)
      const { serve } = await import('../serve/serve.ts')
      process.exitCode = await serve({
        path,
        runtime: true,
        format: json === true ? 'json' : 'text',
        ...(json !== true && {
          onServing: ({ addresses, config }) => {
            process.stdout.write(
              `\n  ${relative('.', path)}: ${config.value.routes.length} routes on ${addresses.public}, admin on ${addresses.admin}.\n` +
                '  "toll ps" shows the processes that are started. Ctrl-C ends everything.\n\n'
            )
          }
        })
      })
      process.exit()
    })
}
