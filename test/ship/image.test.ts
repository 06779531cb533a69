import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import t from 'tap'
import { readDocument, root } from '../support/console.ts'
import { freePorts } from '../support/ports.ts'
import { startToll } from '../support/toll.ts'
import { shippedFiles } from './dockerfile.ts'

/** The user of the image, when the tests may choose one. */
const nonroot = 65_532
const mayChoose = process.getuid?.() === 0

t.test(
  'the files of the image serve, as a user without rights, from a directory they cannot write to',
  async (t) => {
    const base = mkdtempSync(join(tmpdir(), 'toll-image-'))
    t.teardown(() => {
      makeWritable(base)
      rmSync(base, { recursive: true, force: true })
    })
    const app = join(base, 'app')
    const state = join(base, 'state')
    for (const directory of [app, state]) mkdirSync(directory)
    chmodSync(base, 0o755)
    if (mayChoose) chownSync(state, nonroot, nonroot)
    // The one that runs this may be at a place where that user cannot go.
    const node = join(base, 'node')
    copyFileSync(process.execPath, node)

    // 1. What the last stage of the Dockerfile copies, from where its earlier stages make it.
    for (const [source, target] of shippedFiles(readDocument('Dockerfile'))) {
      if (source === '/state') t.equal(target, '/var/lib/toll')
      else if (source === '/app/node_modules') {
        for (const file of ['package.json', 'package-lock.json']) cpSync(join(root, file), join(app, file))
        const install = [
          'ci',
          '--omit=dev',
          '--ignore-scripts',
          '--prefer-offline',
          '--no-audit',
          '--no-fund'
        ]
        execFileSync('npm', install, { cwd: app, stdio: 'pipe' })
      } else {
        const to = target.endsWith('/') ? join(app, target, basename(source)) : join(app, target)
        const isShipped = (path: string): boolean => !path.startsWith(join(root, 'build/test'))
        cpSync(join(root, source.replace(/^\/app\//, '')), to, { recursive: true, filter: isShipped })
      }
    }
    t.notOk(existsSync(join(app, 'node_modules/typescript')), 'no compiler')
    t.notOk(existsSync(join(app, 'build/test')), 'no tests')

    // 2. A config, mounted beside it, that keeps all state in the one directory that is writable.
    const upstream = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1')
    await once(upstream, 'listening')
    t.teardown(() => upstream.close())
    const { port } = upstream.address() as AddressInfo
    const [open, admin] = (await freePorts(2)).map((port) => `127.0.0.1:${port}`) as [string, string]
    const config = join(base, 'gateway.config.json')
    writeFileSync(
      config,
      JSON.stringify({
        listen: { public: open, admin },
        admin: { tokenPath: join(state, 'admin-token') },
        store: { driver: 'embedded', path: join(state, 'store') },
        services: { hello: { nodes: [`http://127.0.0.1:${port}`] } },
        routes: [{ id: 'hello', path: '/*', service: 'hello', auth: 'none' }],
        auth: { keys: { path: join(state, 'keys.json') } }
      })
    )
    makeReadOnly(app)

    // 3. As the entry point of the image does it.
    const toll = await startToll(t, ['start', '--config', config], {
      cwd: app,
      admin,
      program: join(app, 'build/bin/toll.js'),
      node,
      ...(mayChoose && { uid: nonroot })
    })
    t.equal(await (await fetch(`http://${open}/`)).text(), 'hello')
    t.same(readdirSync(state).sort(), ['admin-token', 'keys.json', 'store'])
    t.equal(await toll.stop(), 0)
  }
)

function makeReadOnly(directory: string): void {
  execFileSync('chmod', ['-R', 'a-w,a+rX', directory])
}

function makeWritable(directory: string): void {
  execFileSync('chmod', ['-R', 'u+w', directory])
}
