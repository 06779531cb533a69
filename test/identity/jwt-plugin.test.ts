import t from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { httpUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

/** A plugin by somebody else, who knows @fastify/jwt and nothing of this gateway. */
const plugin = `
export default {
  key: 'own',
  setup: () => () => async (request, reply) => {
    const claims = await request.jwtVerify()
    reply.header('x-verified', claims.sub)
    reply.header('x-signed', await reply.jwtSign({ hello: 1 }))
  }
}`

t.test(
  'request.jwtVerify() of @fastify/jwt works for plugins by others, as strictly as the gateway',
  async (t) => {
    const upstream = await httpUpstream(t, (_request, response) => response.end())
    const { origin } = await startGateway(
      t,
      {
        auth: { users: { driver: 'file', path: 'users.json' } },
        services: { app: { nodes: [upstream.url] } },
        // The gateway itself does not look at tokens here.
        routes: [{ id: 'a', path: '/a', service: 'app', auth: 'none' }],
        plugins: [{ use: './own.mjs', after: 'auth' }]
      },
      { files: { 'own.mjs': plugin, 'users.json': await usersFile({ kesa: { password: '123' } }) } }
    )
    const { body } = await ask('POST', `${origin}/auth/login`, {
      json: { username: 'kesa', password: '123' }
    })
    const token = String(body.access_token)
    const verified = await ask('GET', `${origin}/a`, { token })
    t.equal(verified.status, 200)
    t.equal(verified.headers.get('x-verified'), 'kesa')
    // What a plugin signs is no access token.
    const own = verified.headers.get('x-signed')!
    t.equal(own.split('.').length, 3)
    t.equal((await ask('GET', `${origin}/auth/me`, { token: own })).status, 401)
    t.equal((await ask('GET', `${origin}/a`, { token: own })).status, 401)
    t.equal((await ask('GET', `${origin}/a`, { token: `${token}x` })).status, 401)
    t.equal((await ask('GET', `${origin}/a`)).status, 401)
    await ask('POST', `${origin}/auth/logout`, { token })
    t.equal((await ask('GET', `${origin}/a`, { token })).status, 401, 'although its signature is good')
  }
)
