import type { Command } from 'commander'

/** `toll check`: is the config good? Exit code 0 when it is, 2 with every mistake when it is not. */
export function checkCommand(program: Command): void {
  program
    .command('check')
    .description('tell everything that is wrong with the config (exit code 2), or that it is good')
    .option('--json', 'print the result as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { counted, readConfig, shownPath } = await import('../read-config.ts')
      const { renderEach } = await import('../../config/frame.ts')
      const loaded = await readConfig(command, json)
      if (loaded === undefined) return
      const { path, revision, text, value, warnings } = loaded
      const routes = value.routes.length
      const services = Object.keys((value as { services?: object }).services ?? {}).length
      if (json) {
        const result = { ok: true, file: path, revision, routes, services, warnings }
        process.stdout.write(`${JSON.stringify(result)}\n`)
        return
      }
      const colour = process.stderr.isTTY && process.env.NO_COLOR === undefined
      for (const row of renderEach(warnings, { text, colour })) process.stderr.write(`${row}\n`)
      process.stdout.write(
        `${shownPath(path)} is good: ${counted(routes, 'route')}, ${counted(services, 'service')}.\n`
      )
    })
}
