import t from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { runToll } from '../support/running.ts'
import { httpUpstream } from '../support/upstream.ts'

t.test(
  'toll limit lists limits, shows where a client stands, changes numbers and sets counts back',
  async (t) => {
    const { url } = await httpUpstream(t, (_request, response) => response.end('ok'))
    const token = 'an-admin-token-of-some-length'
    const { origin, admin } = await startGateway(t, {
      admin: { token },
      services: { a: { nodes: [url], limit: { qps: 500 } } },
      routes: [
        { id: 'a', path: '/a', service: 'a', auth: 'none', limit: { qps: 0.01, slack: 1, by: 'address' } }
      ]
    })
    const toll = async (...args: string[]) => {
      const { ended, output } = runToll(
        t,
        ['limit', ...args],
        {},
        { TOLL_ADMIN_URL: admin, TOLL_ADMIN_TOKEN: token }
      )
      return { code: await ended, out: output.out.trim(), err: output.err }
    }
    const get = async () => (await ask('GET', `${origin}/a`)).status
    t.same([await get(), await get(), await get()], [200, 200, 429])
    t.match(await toll('ls'), {
      code: 0,
      out: 'route:a\taddress\t0.01/s slack 1\texact\t2\t1\nservice:a\tservice\t500/s slack 10\texact\t2\t0'
    })
    const stands = await toll('show', 'route:a', '--key', 'ip:127.0.0.1')
    t.match(stands.out, /^ip:127\.0\.0\.1: 0 left, the next request is refused; whole again in \d+ s\.$/m)
    t.match(await toll('reset', 'route:a', 'ip:127.0.0.1'), {
      code: 0,
      out: 'ip:127.0.0.1 starts anew at route:a.'
    })
    t.same([await get(), await get(), await get()], [200, 200, 429])
    t.match(
      (await toll('set', 'route:a', '--qps', '1000', '--slack', '5')).out,
      /^route:a\taddress\t1000\/s slack 5\t.*\tchanged$/
    )
    t.equal(await get(), 200)
    t.match(JSON.parse((await toll('unset', 'route:a', '--json')).out), {
      id: 'route:a',
      qps: 0.01,
      changed: false
    })
    const wrong = await toll('set', 'route:a', '--quota', '5')
    t.equal(wrong.code, 1)
    t.match(wrong.err, /have to say it/)
    t.match(await toll('show', 'route:b'), { code: 1, err: /There is no limit "route:b"/ })
  }
)
