import t from 'tap'
import { differences } from '../../config/differences.ts'

const plainly = (value: unknown) => ({ redacted: value, plain: value })
const words = (before: unknown, after: unknown) =>
  differences(plainly(before), plainly(after)).map(({ sentence }) => sentence)

t.test('says what is different by the names of routes, services and rules', async (t) => {
  const before = {
    log: { level: 'info' },
    routes: [
      { id: 'a', path: '/a', methods: ['GET'] },
      { id: 'b', path: '/b' }
    ],
    services: { a: { nodes: ['http://a'] } },
    rules: [{ id: 'r', priority: 1 }]
  }
  const after = {
    log: { level: 'debug', format: 'json' },
    routes: [
      { id: 'a', path: '/a', methods: ['GET', 'POST'] },
      { id: 'c', path: '/c' }
    ],
    services: { a: { nodes: ['http://b'], limit: { qps: 1 } } },
    rules: [{ id: 'r' }]
  }
  t.same(words(before, after), [
    'log.level "info" -> "debug"',
    'log.format added "json"',
    'route a: methods ["GET"] -> ["GET","POST"]',
    'route b removed',
    'route c added',
    'service a: nodes ["http://a"] -> ["http://b"]',
    'service a: limit added',
    'rule r: priority removed'
  ])
  t.same(words(before, structuredClone(before)), [])
  t.same(words(before, { ...before, routes: [...before.routes].reverse() }), ['the order of routes changed'])
  t.same(words({ log: 1 }, { log: [] }), ['log 1 -> []'])
})

t.test('a secret is compared and never told, alone or inside of what is compared whole', async (t) => {
  const before = {
    redacted: { admin: { token: '[secret]' }, list: [{ token: '[secret]' }] },
    plain: { admin: { token: 'one' }, list: [{ token: 'two' }] }
  }
  const after = { ...before, plain: { admin: { token: 'three' }, list: [{ token: 'four' }] } }
  t.same(
    differences(before, after).map(({ sentence }) => sentence),
    ['admin.token changed (secret)', 'list changed (secret)']
  )
})
