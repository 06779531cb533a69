import type { Command } from 'commander'
import { configPath } from '../config-path.ts'

/** `toll start`: serves a config until SIGTERM. */
export function startCommand(program: Command): void {
  program
    .command('start')
    .description(
      'serve the config (SIGHUP reloads it, SIGTERM drains and leaves, SIGUSR2 has a new process take over)'
    )
    .option('--json', 'log as JSON lines, also on a terminal')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { serve } = await import('../serve/serve.ts')
      process.exitCode = await serve({
        path: configPath(command),
        ...(json === true && { format: 'json' as const })
      })
      process.exit()
    })
}
