import t from 'tap'
import { adminCalls, lookers } from '../support/admin-calls.ts'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { usersFile } from '../support/users.ts'

const token = 'operate-operate-operate-operate'

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly 'x-role': string
  readonly parameters: readonly { readonly name: string; readonly in: string }[]
  readonly responses: Readonly<Record<string, object>>
}

t.test('the OpenAPI document has every call with a summary, its role and its parameters', async (t) => {
  const { admin } = await startGateway(
    t,
    {
      admin: { token },
      auth: { issuer: 'https://gw.example', audience: 'api', users: { driver: 'file', path: 'users.json' } }
    },
    { files: { 'users.json': await usersFile({ anna: { password: 'a password' } }) } }
  )
  t.equal((await ask('GET', `${admin}/admin/openapi.json`)).status, 401)
  const { status, body, text } = await ask('GET', `${admin}/admin/openapi.json`, { token })
  t.equal(status, 200)
  t.equal(body.openapi, '3.1.0')
  const paths = body.paths as Readonly<Record<string, Readonly<Record<string, Operation>>>>
  const ids = new Set<string>()
  for (const { method, path } of adminCalls()) {
    const described = path.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{rest}')
    const operation = paths[described]?.[method.toLowerCase()]
    t.ok(operation, `${method} ${path} is described`)
    if (operation === undefined) continue
    t.match(operation.summary, /^[A-Z].{10,}\.$/, `${method} ${path} has a summary`)
    const looks = method === 'GET' || lookers.has(`${method} ${path}`)
    t.equal(operation['x-role'], looks ? 'read' : 'operate', `${method} ${path}`)
    const named = [...described.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    t.same(
      operation.parameters.filter((one) => one.in === 'path').map(({ name }) => name),
      named
    )
    t.match(operation.responses, { 401: {}, 403: {}, default: {} })
    t.notOk(ids.has(operation.operationId), `${operation.operationId} is unique`)
    ids.add(operation.operationId)
  }
  const count = Object.values(paths).reduce((sum, methods) => sum + Object.keys(methods).length, 0)
  t.equal(count, adminCalls().length, 'and no other')
  // Every reference leads somewhere.
  for (const [, pointer] of text.matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    t.ok(
      pointer!.split('/').reduce<never>((at, key) => at?.[key] as never, body as never),
      `${pointer} is there`
    )
  }
})
