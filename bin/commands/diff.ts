import { resolve } from 'node:path'
import type { Command } from 'commander'
import { type Difference, differences, type Written } from '../../config/differences.ts'
import { say } from '../say.ts'

interface Side extends Written {
  readonly revision: string
  /** Names the text as well as the content. */
  readonly etag: string
}

/** `toll diff`: what is different between two configs, in words; the file here and what serves unless said. */
export function diffCommand(program: Command): void {
  program
    .command('diff [before] [after]')
    .description(
      'say what is different between two config files; of none or one: between what serves and the file; exit code 0: nothing, 1: something, 2: a config is broken'
    )
    .option('--json', 'print the differences as JSON')
    .action(
      async (
        before: string | undefined,
        after: string | undefined,
        { json }: { json?: boolean },
        command: Command
      ) => {
        const sides = await sidesOf(before, after, json, command).catch((error: unknown) => {
          // 1 says that something is different.
          process.stderr.write(`toll: ${(error as Error).message}\n`)
          process.exitCode = 2
        })
        if (sides === undefined) return
        const found = differencesOf(...sides)
        const sentences = found.map(({ sentence }) => sentence)
        say(
          json,
          { same: found.length === 0, differences: found },
          sentences.length === 0 ? 'Nothing is different.' : sentences.join('\n')
        )
        if (found.length > 0) process.exitCode = 1
      }
    )
}

async function sidesOf(
  before: string | undefined,
  after: string | undefined,
  json: boolean | undefined,
  command: Command
): Promise<[Side, Side] | undefined> {
  const { configPath } = await import('../config-path.ts')
  const file = async (path: string): Promise<Side | undefined> => {
    const { readConfigAt } = await import('../read-config.ts')
    const { entityTag } = await import('../../config/entity-tag.ts')
    const loaded = await readConfigAt(path, json)
    if (loaded === undefined) return undefined
    const { revision, redacted, plain } = loaded
    return { revision, redacted, plain, etag: entityTag(loaded) }
  }
  const one = after === undefined ? await serving(command) : await file(resolve(before!))
  const other = one && (await file(after ?? (before === undefined ? configPath(command) : resolve(before))))
  return one && other && [one, other]
}

/** What serves, as it may be shown. */
async function serving(command: Command): Promise<Side> {
  const { adminExchange } = await import('../admin-client.ts')
  const { answer, etag = '' } = await adminExchange(command, 'GET', '/admin/config')
  return { revision: etag.slice(1, 13), redacted: answer, plain: undefined, etag }
}

/** What serves is known without its secrets: where all else is the same, its revision tells whether they are. */
function differencesOf(before: Side, after: Side): readonly Difference[] {
  if (before.etag === after.etag) return []
  if (before.plain !== undefined) return differences(before, after)
  const found = differences(shownOnly(before), shownOnly(after))
  if (found.length > 0 || before.revision === after.revision) return found
  const sentence = 'a secret, or what a reference stands for, changed'
  return [{ at: 'the config', change: 'changed', sentence }]
}

const shownOnly = ({ redacted }: Side): Written => ({ redacted, plain: redacted })
