import t from 'tap'
import { diff } from '../../config/diff.ts'

t.test('names what was added, changed and removed, and says nothing of what stayed', async (t) => {
  const before = {
    log: { level: 'info' },
    services: { orders: { nodes: ['a'] }, carts: { nodes: ['b'] }, users: { nodes: ['c'] } },
    routes: [
      { id: 'one', path: '/1' },
      { id: 'two', path: '/2' }
    ]
  }
  const after = {
    log: { level: 'debug' },
    services: { orders: { nodes: ['a'] }, carts: { nodes: ['b', 'd'] }, bills: { nodes: ['e'] } },
    routes: [
      { id: 'two', path: '/2' },
      { id: 'three', path: '/3' }
    ],
    auth: {}
  }
  t.same(diff(before, after), [
    'log changed',
    'service "carts" changed',
    'service "bills" added',
    'service "users" removed',
    'route "three" added',
    'route "one" removed',
    'auth changed'
  ])
  t.same(diff(before, structuredClone(before)), [])
  t.same(diff(before, { ...before, routes: [...before.routes].reverse() }), ['the order of routes changed'])
})
