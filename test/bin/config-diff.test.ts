import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startGateway } from '../support/gateway.ts'
import { runToll } from '../support/running.ts'

const token = 'an-admin-token-of-some-length'

async function start(t: Test) {
  const config = (qps: number, more: object = {}) => ({
    admin: { token, ...more },
    services: { orders: { nodes: ['http://127.0.0.1:9'] } },
    routes: [{ id: 'orders', path: '/orders/*', service: 'orders', auth: 'none', limit: { qps } }]
  })
  const gateway = await startGateway(t, config(100))
  const run = async (...args: string[]) => {
    const { ended, output } = runToll(t, args, {}, { TOLL_ADMIN_URL: gateway.admin, TOLL_ADMIN_TOKEN: token })
    return { code: await ended, out: output.out.trim(), err: output.err }
  }
  return { ...gateway, config, run }
}

t.test(
  'toll diff says what is different between two files, and between what serves and a file',
  async (t) => {
    const { run, path, directory, config } = await start(t)
    const file = (name: string, value: unknown) => {
      const whole = { ...JSON.parse(readFileSync(path, 'utf8')), ...(value as object) }
      writeFileSync(join(directory, name), typeof value === 'string' ? value : JSON.stringify(whole))
      return join(directory, name)
    }
    const secret = 'another-token-that-nobody-sees'
    const same = file('same.json', config(100))
    const other = file('other.json', {
      ...config(200, { token: secret }),
      services: { ...config(1).services, carts: { nodes: ['http://127.0.0.1:8'] } },
      shutdown: { delay: '1s' }
    })
    const hidden = file('hidden.json', config(100, { token: secret }))
    const broken = file('broken.json', '{ "rotes": [] }')

    const [nothing, found, wrong, served, masked, here, none] = await Promise.all([
      run('diff', path, same),
      run('diff', path, other),
      run('diff', path, broken),
      run('diff', other, '--json'),
      run('diff', hidden),
      run('--config', same, 'diff'),
      run('diff')
    ])
    t.match(nothing, { code: 0, out: 'Nothing is different.' })
    t.equal(found.code, 1)
    t.same(found.out.split('\n').sort(), [
      'admin.token changed (secret)',
      'route orders: limit.qps 100 -> 200',
      'service carts added',
      'shutdown added'
    ])
    t.match(wrong, { code: 2, err: /broken\.json:1:3 {2}error/ })

    // With what serves.
    t.equal(served.code, 1)
    const { same: isSame, differences } = JSON.parse(served.out) as { same: boolean; differences: object[] }
    t.notOk(isSame)
    const limit = { at: 'route orders: limit.qps', change: 'changed' }
    t.ok(differences.some((one) => JSON.stringify(one).includes(JSON.stringify(limit).slice(1, -1))))
    t.match(masked, { code: 1, out: /^a secret, or what a reference stands for, changed$/ })
    t.match(here, { code: 0, out: 'Nothing is different.' })
    t.match(none, { code: 2, err: /there is no gateway\.config\.json here/ })
    for (const { out, err } of [found, served, masked]) t.notMatch(out + err, secret)
  }
)
