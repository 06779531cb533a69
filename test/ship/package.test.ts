import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../support/console.ts'

t.test('the npm package holds what runs and what `toll demo` serves, and nothing else', async (t) => {
  // npm's notices would be in the way, and a dry run needs no registry.
  const report = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts', '--offline'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore']
  })
  const packed = JSON.parse(report)
  // An array of packages up to npm 11, an object by name from npm 12.
  const [{ files }] = Array.isArray(packed) ? packed : Object.values(packed)
  const paths: string[] = files.map(({ path }: { path: string }) => path)

  for (const path of [
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'build/bin/toll.js',
    'build/index.js',
    'build/index.d.ts',
    'build/services/runtime/reaper-process.js',
    'gateway.config.json',
    'gateway.schema.json',
    'examples/demo/hello.mjs',
    'examples/demo/orders.mjs',
    'examples/demo/users.json'
  ])
    t.ok(paths.includes(path), `${path} is in it`)

  const strangers = paths.filter(
    (path) =>
      !/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|gateway\.(config|schema)\.json)$/.test(path) &&
      !/^examples\/demo\/[^/]+$/.test(path) &&
      !/^build\/(?!test\/|examples\/).*\.(js|d\.ts)$/.test(path)
  )
  t.same(strangers, [])
})

t.test('what was built can be run as it is, since npx makes it so only when it sees it first', async (t) => {
  const version = execFileSync(join(root, 'build/bin/toll.js'), ['--version'], { encoding: 'utf8' })
  t.match(version, /^\d+\.\d+\.\d+/)
})
