import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { loadGatewayConfig } from '../../app.ts'
import { readDocument, root } from '../support/console.ts'

/** What a fragment may lean on: it shows a part of a config that has this service. */
const surroundings = { services: { orders: { nodes: ['http://127.0.0.1:4001'] } } }

/** Documents written by hand; docs/plugins and docs/errors.md are generated and verified elsewhere. */
const documents = [
  '',
  'docs/',
  'docs/guides/',
  ...readdirSync(`${root}/examples`).map((name) => `examples/${name}/`)
]
  .filter((folder) => statSync(join(root, folder)).isDirectory())
  .flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}${name}`))
  .filter((path) => /^([A-Z]+|docs\/[a-z-]+|docs\/guides\/.*|examples\/[^/]+\/README)\.md$/.test(path))
  .filter((path) => path !== 'docs/errors.md')

interface Block {
  readonly line: number
  readonly isFragment: boolean
  readonly text: string
}

function readBlocks(markdown: string): Block[] {
  return [...markdown.matchAll(/^```jsonc?( fragment)?\n([\s\S]*?)^```/gm)].map((found) => ({
    line: markdown.slice(0, found.index).split('\n').length,
    isFragment: found[1] !== undefined,
    text: found[2]!
  }))
}

t.test('the documents are found', async (t) => {
  t.ok(documents.includes('README.md') && documents.includes('docs/guides/configuration.md'))
})

const directory = mkdtempSync(join(tmpdir(), 'toll-docs-'))
t.teardown(() => rmSync(directory, { recursive: true }))
// A config names a module, which is loaded with it.
writeFileSync(join(directory, 'my-provider.mjs'), 'export default () => undefined')

for (const document of documents) {
  const blocks = readBlocks(readDocument(document))
  if (blocks.length === 0) continue
  t.test(`every JSON block of ${document} is a config, or a part of one`, async (t) => {
    for (const { line, isFragment, text } of blocks) {
      const path = join(directory, `${document.replaceAll('/', '-')}-${line}.json`)
      // YAML reads JSON with comments once these are written its way.
      const part = isFragment ? { ...surroundings, ...parse(text.replace(/^(\s*)\/\//gm, '$1#')) } : undefined
      writeFileSync(path, part === undefined ? text : JSON.stringify(part))
      await t.resolves(loadGatewayConfig(path), `line ${line}`)
    }
  })
}
