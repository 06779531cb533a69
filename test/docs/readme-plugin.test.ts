import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Value } from '@sinclair/typebox/value'
import t from 'tap'
import type { GatewayPlugin, RouteInfo, Step } from '../../plugins/plugin.ts'
import { readDocument, root } from '../support/console.ts'
import { plainNode } from '../support/toll.ts'

t.test('the plugin of the README compiles under the rules of the house and does what it says', async (t) => {
  const [, source = ''] = /```ts\n([\s\S]*?)```/.exec(readDocument('README.md')) ?? []
  t.ok(source.split('\n').length <= 32, 'it is short')

  // 1. It is put where the README says, in a copy of what it can import, and compiled.
  const directory = mkdtempSync(join(tmpdir(), 'toll-plugin-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  for (const path of ['errors.ts', 'plugins', 'services', 'config', 'package.json', 'tsconfig.json'])
    cpSync(join(root, path), join(directory, path), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  writeFileSync(join(directory, 'plugins/opening-hours.ts'), source)
  const project = { extends: './tsconfig.json', include: [], files: ['plugins/opening-hours.ts'] }
  writeFileSync(join(directory, 'tsconfig.plugin.json'), JSON.stringify(project))
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const [command, ...args] = plainNode
  execFileSync(command, [...args, compiler, '-p', 'tsconfig.plugin.json'], {
    cwd: directory,
    stdio: 'pipe'
  })
  const compiled = pathToFileURL(join(directory, 'build/plugins/opening-hours.js')).href
  const { openingHours } = (await import(compiled)) as { openingHours: GatewayPlugin }

  // 2. Its slice takes what the README shows, and nothing misspelt.
  t.ok(Value.Check(openingHours.route!, { open: { from: 8, to: 18 } }))
  t.notOk(Value.Check(openingHours.route!, { open: { from: 8, till: 18 } }))

  // 3. Its step lets pass while it is open, refuses while it is closed, and is not there without hours.
  const stepOf = (await openingHours.setup({} as never, undefined as never, {} as never))!
  const report = {
    index: 0,
    id: 'report',
    path: '/report',
    methods: [],
    service: 'orders'
  } satisfies RouteInfo
  const hour = new Date().getUTCHours()
  const step = (open?: object): Step | undefined => stepOf({ ...report, ...(open && { open }) } as never)
  t.equal(step(), undefined)
  t.doesNotThrow(() => step({ from: 0, to: 24 })!({} as never, {} as never))
  const closed = hour > 12 ? { from: 0, to: 1 } : { from: 22, to: 23 }
  t.throws(() => step(closed)!({} as never, {} as never), { code: 'FORBIDDEN', reason: 'closed' })
})
