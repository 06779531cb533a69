import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import { runToll } from '../support/running.ts'

const token = 'an-admin-token-of-some-length'

async function start(t: Test, name = 'gateway.config.json') {
  const config = (qps: number, more: object = {}) => ({
    listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0' },
    admin: { token, ...more },
    services: { orders: { nodes: ['http://127.0.0.1:9'] } },
    routes: [{ id: 'orders', path: '/orders/*', service: 'orders', auth: 'none', limit: { qps } }]
  })
  const gateway = await startGateway(t, config(100), { name })
  /** Runs `toll` beside these files, with a text for its standard input. */
  const run = async (args: readonly string[], files: Record<string, string> = {}, input = '') => {
    const env = { TOLL_ADMIN_URL: gateway.admin, TOLL_ADMIN_TOKEN: token }
    const { ended, output, child } = runToll(t, args, files, env)
    child.stdin!.end(input)
    return { code: await ended, out: output.out.trim(), err: output.err }
  }
  return { ...gateway, config, run, text: () => readFileSync(gateway.path, 'utf8') }
}

t.test('toll replace puts another config into the file, and says what changed', async (t) => {
  const { run, text, config, gateway } = await start(t)
  const other = `// ours\n${JSON.stringify(config(200, { token: '[secret]' }))}`
  const { code, out } = await run(['replace', 'other.json'], { 'other.json': other })
  t.equal(code, 0)
  t.equal(out, `Revision ${gateway.config.revision} serves now.\n  route orders: limit.qps 100 -> 200`)
  t.equal(text(), other.replace('[secret]', token), 'to the letter, with the secret that was masked')

  const again = await run(['replace', '-', '--json'], {}, text())
  t.equal(again.code, 0)
  t.match(JSON.parse(again.out), { outcome: 'unchanged', revision: gateway.config.revision })
})

t.test('what is refused is told with its place, and changes nothing', async (t) => {
  const { run, text, path, config } = await start(t)
  const before = text()
  const broken = '{\n  "rotes": []\n}'
  t.match(await run(['replace', 'other.json'], { 'other.json': broken }), {
    code: 1,
    err: /The config was refused, the old one serves on\.\n.*gateway\.config\.json:2:3 {2}error.*rotes/
  })
  t.match(await run(['replace', 'nowhere.json']), {
    code: 1,
    err: /nowhere\.json cannot be read: it is not there/
  })
  t.match(await run(['replace', 'a.yaml'], { 'a.yaml': 'routes: []' }), {
    code: 1,
    err: /the config file is JSON/
  })
  t.equal(text(), before)

  // A file that somebody is editing is left alone, unless that is meant.
  const files = { 'other.json': JSON.stringify(config(300)) }
  writeFileSync(path, '{ "routes": [')
  t.match(await run(['replace', 'other.json'], files), {
    code: 1,
    err: /does not serve yet.*\n.*toll reload.*--force/
  })
  t.equal(text(), '{ "routes": [')
  t.match(await run(['replace', 'other.json', '--force'], files), { code: 0 })
  t.equal(text(), files['other.json'])
})

t.test('YAML goes into a file that is YAML', async (t) => {
  const { run, text } = await start(t, 'gateway.config.yaml')
  const other = [
    '# ours',
    "listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0' }",
    'admin:',
    '  token: "[secret]"',
    'services:',
    '  orders:',
    '    nodes: [http://127.0.0.1:9]',
    'routes:',
    '  - { id: orders, path: /orders/*, service: orders, auth: none, limit: { qps: 250 } }',
    ''
  ].join('\n')
  const { code, out, err } = await run(['replace', 'other.yaml'], { 'other.yaml': other })
  t.equal(code, 0, err)
  t.match(out, 'route orders: limit.qps 100 -> 250')
  t.equal(text(), other.replace('[secret]', token))
  t.notOk(join(out, err).includes(token))
})
