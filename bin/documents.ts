import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { slices } from '../app.ts'
import { pageOf } from '../config/page.ts'
import { publishedSchema } from '../config/published.ts'
import { problems } from '../errors.ts'

/** Everything that is generated from the sources: path, and text; undefined for a page whose plugin is gone. */
export function documents(root: string): ReadonlyMap<string, string | undefined> {
  const files = new Map<string, string | undefined>()
  files.set('gateway.schema.json', `${JSON.stringify(publishedSchema(slices), undefined, 2)}\n`)
  files.set('docs/errors.md', errorsPage())
  for (const name of pagesIn(join(root, 'docs/plugins'))) files.set(`docs/plugins/${name}`, undefined)
  for (const slice of slices) {
    const page = pageOf(slice)
    if (page !== undefined) files.set(`docs/plugins/${slice.key}.md`, page)
  }
  return files
}

function errorsPage(): string {
  const rows = problems.map(
    ({ code, status, fault, retryable, sentence }) =>
      `| \`${code}\` | ${status} | ${fault} | ${retryable ? 'yes' : 'no'} | ${sentence.replaceAll('%s', '…')} |`
  )
  return `# Errors

Every refusal and failure of the gateway itself is answered as \`application/problem+json\` (RFC 9457) with one of these codes.
Answers of a service pass through untouched. *Fault* is who has to act for it to go away; *again* is whether the same request
may succeed later.

| Code | Status | Fault | Again | Sentence |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`
}

function pagesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.md'))
  } catch {
    return []
  }
}
