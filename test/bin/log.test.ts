import t from 'tap'
import { ask } from '../support/client.ts'
import { runToll } from '../support/running.ts'
import { adminToken, quick, startLogging } from '../support/sinks.ts'

const file = (name: string) => ({ name, kind: 'file', path: `${name}.log`, ...quick })

t.test('toll log sinks lists them, and only operators may', async (t) => {
  const { admin, request, drained } = await startLogging(t, [file('a'), file('b')])
  await request(3)
  await drained('a')
  await drained('b')
  t.equal((await ask('GET', `${admin}/admin/logs/sinks`)).status, 401)
  const env = { TOLL_ADMIN_URL: admin, TOLL_ADMIN_TOKEN: adminToken }
  const listed = runToll(t, ['log', 'sinks'], {}, env)
  t.equal(await listed.ended, 0)
  const row = (name: string) => `${name}\tfile\tup\t0 wait\t3 sent\t0 dropped\t0 refused\n`
  t.equal(listed.output.out, row('a') + row('b'))
  const json = runToll(t, ['log', 'sinks', '--json'], {}, env)
  await json.ended
  t.match(JSON.parse(json.output.out), [{ name: 'a', queued: 0, sent: 3 }, { name: 'b' }])
})
