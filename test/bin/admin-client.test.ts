import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startGateway } from '../support/gateway.ts'
import { runToll } from '../support/running.ts'

t.test('a command reaches the gateway by the environment alone, also while the file is broken', async (t) => {
  const { admin, directory, path } = await startGateway(t, {})
  const TOLL_ADMIN_TOKEN = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  writeFileSync(path, '{ "routes": 1 }')
  const broken = { 'gateway.config.json': '{ "routes": 1 }' }

  const refused = runToll(t, ['ps'], broken)
  t.equal(await refused.ended, 1)
  t.match(
    refused.output.err,
    /^toll: the config is refused\.\n.*gateway\.config\.json:1:13 .*\n(.*\n)*Mend the file, or set TOLL_ADMIN_URL/
  )

  const reached = runToll(t, ['ps', '--json'], broken, { TOLL_ADMIN_URL: `${admin}/`, TOLL_ADMIN_TOKEN })
  t.equal(await reached.ended, 0, reached.output.err)
  t.same(JSON.parse(reached.output.out), { processes: [] })
})

t.test('without a gateway a command says so in one sentence', async (t) => {
  const { ended, output } = runToll(
    t,
    ['session', 'count'],
    {},
    {
      TOLL_ADMIN_URL: 'http://127.0.0.1:1',
      TOLL_ADMIN_TOKEN: 'x'
    }
  )
  t.equal(await ended, 1)
  t.equal(
    output.err,
    'toll: no gateway answers on http://127.0.0.1:1; start it with "toll start", or set TOLL_ADMIN_URL.\n'
  )
})
