import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { say } from '../say.ts'

/** `toll replace`: another config into the file of the running gateway, whole or not at all. */
export function replaceCommand(program: Command): void {
  program
    .command('replace <file>')
    .description(
      'put another config into the file of the running gateway, and have it serve; - is standard input'
    )
    .option('--force', 'also over a file that was changed and does not serve yet')
    .option('--json', 'print the answer as JSON')
    .action(async (file: string, { force, json }: { force?: boolean; json?: boolean }, command: Command) => {
      const { changeConfig } = await import('../config-change.ts')
      const text = read(file)
      const type = /\.ya?ml$/i.test(file) ? 'application/yaml' : 'text/plain'
      const answer = await changeConfig(command, 'PUT', '/admin/config', { text, type }, force)
      const { outcome, revision, changes = [] } = answer
      const sentence =
        outcome === 'unchanged'
          ? `Nothing changed; revision ${revision} serves.`
          : `Revision ${revision} serves now.`
      say(json, answer, [sentence, ...changes].join('\n  '))
    })
}

function read(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    const { code } = error as { code?: string }
    const why = code === 'ENOENT' ? 'it is not there' : `the system says ${code}`
    throw new Error(`${file} cannot be read: ${why}. Name another file, or - for standard input.`)
  }
}
