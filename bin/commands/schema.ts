import type { Command } from 'commander'

/** `toll schema`: the JSON Schema of a config, for editors; the same that `toll docs` writes to gateway.schema.json. */
export function schemaCommand(program: Command): void {
  program
    .command('schema')
    .description('print the JSON Schema of the config')
    .option('--json', 'print it on one line')
    .action(async ({ json }: { json?: boolean }) => {
      const { slices } = await import('../../app.ts')
      const { publishedSchema } = await import('../../config/published.ts')
      process.stdout.write(`${JSON.stringify(publishedSchema(slices), undefined, json ? 0 : 2)}\n`)
    })
}
