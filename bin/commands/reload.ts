import type { Command } from 'commander'

/** `toll reload`: asks the running gateway to read its config again. */
export function reloadCommand(program: Command): void {
  program
    .command('reload')
    .description('have the running gateway read its config again')
    .option('--json', 'print the answer as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { adminRequest } = await import('../admin-client.ts')
      const result = (await adminRequest(command, 'POST', '/admin/config/reload')) as {
        outcome: string
        revision: string
      }
      const sentence =
        result.outcome === 'unchanged'
          ? `Nothing changed; revision ${result.revision} serves.`
          : `Revision ${result.revision} serves now.`
      process.stdout.write(`${json === true ? JSON.stringify(result) : sentence}\n`)
    })
}
