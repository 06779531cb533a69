import { decodeJwt } from 'jose'
import t from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedPort, httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const names = Array.from({ length: 12 }, (_, n) => `user${n}`)
const users = await usersFile(Object.fromEntries(names.map((name) => [name, { password: '123' }])))

t.test(
  'users keep their side on every route, and each service is told who asks by a token of its own',
  async (t) => {
    const seen: Record<string, Record<string, string | undefined>[]> = {}
    const service = async (name: string) =>
      (
        await httpUpstream(t, ({ headers }, response) => {
          seen[name] = [...(seen[name] ?? []), headers as Record<string, string>]
          response.end(name)
        })
      ).url
    const canary = { service: 'next', percent: 50 }
    const auth = { assertion: true }
    const { origin } = await startGateway(
      t,
      {
        store: { driver: 'embedded', path: 'store' },
        auth: { users: { path: 'users.json' }, assertion: { header: 'x-signed-user', ttl: '30s' } },
        services: {
          orders: { nodes: [await service('orders')] },
          next: { nodes: [await service('next')] },
          shadow: { nodes: [await service('shadow')] },
          gone: { nodes: [`http://127.0.0.1:${await closedPort()}`], fallback: { service: 'spare' } },
          spare: { nodes: [await service('spare')] }
        },
        routes: [
          { id: 'one', path: '/one', service: 'orders', auth, canary, mirror: { service: 'shadow' } },
          { id: 'two', path: '/two', service: 'orders', auth, canary, methods: ['GET'] },
          { id: 'gone', path: '/gone', service: 'gone', auth, methods: ['GET'] }
        ]
      },
      { files: { 'users.json': users } }
    )
    const sides = new Set<string>()
    let last = ''
    for (const username of names) {
      const { body } = await ask('POST', `${origin}/auth/login`, { json: { username, password: '123' } })
      last = String(body.access_token)
      const side = (await ask('GET', `${origin}/one`, { token: last })).text
      sides.add(side)
      t.equal((await ask('GET', `${origin}/two`, { token: last })).text, side, `${username} is on one side`)
    }
    t.same(sides, new Set(['orders', 'next']))
    const headers = { 'x-http-method-override': 'DELETE' }
    t.equal((await ask('GET', `${origin}/gone`, { token: last, headers })).text, 'spare')
    const deadline = Date.now() + 10_000
    while ((seen.shadow ?? []).length < names.length && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    t.equal(seen.shadow?.length, names.length)
    for (const [name, requests] of Object.entries(seen)) {
      for (const sent of requests) {
        t.equal(decodeJwt(sent['x-signed-user'] ?? '').aud, name, `what ${name} gets is for ${name}`)
        t.equal(decodeJwt(sent['x-signed-user'] ?? '').sub, sent['x-user-id'])
        t.equal(sent.authorization, undefined)
        t.equal(sent['x-http-method-override'], undefined, 'methods matter to it')
      }
    }
  }
)
