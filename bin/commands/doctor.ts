import type { Command } from 'commander'
import { configPath } from '../config-path.ts'
import type { Finding } from '../doctor/finding.ts'

/** `toll doctor`: looks at everything a gateway needs here, and says the way out of what is wrong. Exit code 1 when something fails. */
export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('look at everything the gateway needs: Node.js, config, files, ports, store, nodes')
    .option('--json', 'print the findings as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { examine } = await import('../doctor/examine.ts')
      const { shownPath } = await import('../read-config.ts')
      const findings: Finding[] = []
      for await (const finding of examine(shownPath(configPath(command)))) {
        findings.push(finding)
        if (!json) process.stdout.write(line(finding))
      }
      const failed = findings.filter(({ status }) => status === 'fail').length
      if (failed > 0) process.exitCode = 1
      if (json) process.stdout.write(`${JSON.stringify({ ok: failed === 0, findings })}\n`)
    })
}

function line({ status, name, sentence, remedy }: Finding): string {
  const way = remedy === undefined ? '' : `\n${' '.repeat(6)}${remedy}`
  return `${status.padEnd(4)}  ${name}: ${sentence}${way}\n`
}
