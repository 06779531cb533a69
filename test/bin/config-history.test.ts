import { readFileSync, writeFileSync } from 'node:fs'
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

t.test('toll history lists what served, and toll rollback puts it back', async (t) => {
  const { run, path, reconfigure, config } = await start(t)
  const first = readFileSync(path, 'utf8')
  await reconfigure(config(200))
  const { code, out } = await run('history')
  t.equal(code, 0)
  const [now = '', before = ''] = out.split('\n')
  t.match(now, /^[0-9a-f]{12} \*\t\S+Z\tfile\troute orders: limit\.qps 100 -> 200$/)
  t.match(before, /^[0-9a-f]{12}\t\S+Z\tfile\tstart$/)
  const revision = before.slice(0, 12)
  const back = await run('rollback', revision)
  t.match(back, { code: 0, out: `Revision ${revision} serves again.\n  route orders: limit.qps 200 -> 100` })
  t.equal(readFileSync(path, 'utf8'), first)

  // A file that somebody is editing is left alone, unless that is meant.
  writeFileSync(path, '{ "routes": [')
  t.match(await run('rollback', revision), { code: 1, err: /does not serve yet.*\n.*toll reload.*--force/ })
  t.equal(readFileSync(path, 'utf8'), '{ "routes": [')
  t.match(await run('rollback', revision, '--force'), { code: 0 })
  t.equal(readFileSync(path, 'utf8'), first)
  t.match(await run('rollback', 'ffffffffffff'), { code: 1, err: /no kept revision "ffffffffffff"/ })

  const audit = await run('audit', '--what', 'config.')
  t.match(audit, { code: 0, out: /\tconfig\.rollback\tffffffffffff\t404\tadmin-token\t127\.0\.0\.1$/m })
  t.match(
    audit.out,
    new RegExp(`\tconfig\\.rollback\t${revision}\t200\tadmin-token\t.*limit\\.qps 200 -> 100`)
  )
})
