import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { readDocument, root } from '../support/console.ts'

const documents = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) =>
  /^(?!node_modules|build|\.|.*\/\.toll).*\.md$/.test(path)
)

t.test('every link of the documents leads to something that is there', async (t) => {
  const broken = documents.flatMap((document) =>
    [...readDocument(document).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, link = '']) => link)
      .filter((link) => !/^[a-z]+:/.test(link) && !existsSync(join(root, dirname(document), link)))
      .map((link) => `${document}: ${link}`)
  )
  t.ok(documents.length > 10)
  t.same(broken, [])
})

t.test('every path that the README names under "Where things are" is there', async (t) => {
  const [, table = ''] = /## Where things are\n([\s\S]*?)\n## /.exec(readDocument('README.md')) ?? []
  const paths = [...table.matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, path = '']) => path)
  )
  t.ok(paths.length > 8)
  for (const path of paths) t.ok(existsSync(join(root, path)), path)
})

t.test('the README lists the commands there are', async (t) => {
  const help = execFileSync(process.execPath, [join(root, 'build/bin/toll.js'), '--help'], {
    encoding: 'utf8'
  })
  const [, list = ''] = /Commands:\n([\s\S]*)/.exec(help) ?? []
  const real = [...list.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name).filter((name) => name !== 'help')
  const [, table = ''] = /\n## Commands\n([\s\S]*?)\n## /.exec(readDocument('README.md')) ?? []
  const told = [...table.matchAll(/^\| ([^|]*(?:\\\|[^|]*)*) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`toll ([a-z]+)/g)].map(([, name]) => name)
  )
  t.same([...new Set(told)].sort(), [...new Set(real)].sort())
})
