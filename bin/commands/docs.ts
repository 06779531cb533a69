import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Command } from 'commander'

/** `toll docs`: writes what is generated from the sources. With `--check` it only compares: exit code 1 names what is stale. */
export function docsCommand(program: Command): void {
  program
    .command('docs')
    .description('write gateway.schema.json, docs/plugins/ and docs/errors.md')
    .option('--check', 'write nothing; exit with 1 and name what is stale')
    .option('--json', 'print the result as JSON')
    .action(async ({ check, json }: { check?: boolean; json?: boolean }) => {
      const { documents } = await import('../documents.ts')
      const stale: string[] = []
      for (const [path, text] of documents('.')) {
        if ((await readIfThere(path)) === text) continue
        stale.push(path)
        if (!check) await replace(path, text)
      }
      if (check && stale.length > 0) process.exitCode = 1
      process.stdout.write(`${json ? JSON.stringify({ stale, written: !check }) : said(stale, check)}\n`)
    })
}

function said(stale: readonly string[], check: boolean | undefined): string {
  if (stale.length === 0) return 'The generated documents are up to date.'
  return check
    ? `Stale, run "npm run docs":\n${stale.map((path) => `  ${path}`).join('\n')}`
    : `Written:\n${stale.map((path) => `  ${path}`).join('\n')}`
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(join('.', path), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function replace(path: string, text: string | undefined): Promise<void> {
  if (text === undefined) return rm(path)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
}
