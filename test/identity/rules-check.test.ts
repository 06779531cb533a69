import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { accessRules, type Rule } from '../../services/identity/rules.ts'
import { idleRules } from '../../services/identity/rules-check.ts'

const directory = mkdtempSync(join(tmpdir(), 'toll-rules-'))
t.teardown(() => rmSync(directory, { recursive: true, force: true }))

/** The warnings about rules, each with its line. */
async function warningsOf(...rules: readonly string[]): Promise<string[]> {
  const path = join(directory, 'gateway.config.json')
  writeFileSync(
    path,
    `{ "services": { "orders": { "nodes": ["http://127.0.0.1:9"] } },
"routes": [{ "id": "orders", "path": "/orders/*", "service": "orders" }],
"auth": {},
"rules": [
${rules.join(',\n')}
] }`
  )
  const { warnings } = await loadGatewayConfig(path)
  return warnings.map(
    ({ line, sentence, suggestion }) => `${line - 4}: ${sentence}${suggestion ? ` -> ${suggestion}` : ''}`
  )
}

t.test('a rule about what there is not is told, with what was probably meant', async (t) => {
  t.same(
    await warningsOf(
      '{ "id": "a", "scope": "x", "resource": "service:order:*" }',
      '{ "id": "b", "scope": "x", "resource": { "type": "service", "name": "zebra", "endpoint": "*" } }',
      '{ "id": "c", "scope": "x", "resource": "servce:orders:*" }',
      '{ "id": "d", "scope": "x", "resource": "Service:ORDERS:/a" }',
      '{ "id": "e", "scope": "x", "resource": "topic:news:*" }',
      '{ "id": "f", "scope": "y", "resource": "*:*:*" }'
    ),
    [
      '1: the rule "a" is about "order", and there is no such service -> orders',
      '2: the rule "b" is about "zebra", and there is no such service',
      '3: the rule "c" is about the type "servce", which no route is of -> service'
    ]
  )
})

t.test('a rule that another leaves nothing is told', async (t) => {
  const hidden = (narrow: string, wide: string) => warningsOf(narrow, wide)
  const wide = '{ "id": "w", "scope": "*", "resource": "service:*:/a/*", "priority": 5 }'
  const told = ['1: the rule "n" never decides: "w" is asked first and is about all of it']
  for (const [scope, resource] of [
    ['*', 'service:orders:/a/*'],
    ['admin', 'service:orders:/a/b'],
    ['admin', 'service:*:/A'],
    ['*', 'service:orders:/a/b/c/*']
  ] as const) {
    t.same(
      await hidden(`{ "id": "n", "scope": "${scope}", "resource": "${resource}" }`, wide),
      told,
      resource
    )
  }
  for (const [scope, resource] of [
    ['', 'service:orders:/a/*'],
    ['+', 'service:orders:/a/b'],
    ['*', 'service:orders:/ab'],
    ['*', 'service:orders:/*'],
    ['*', 'service:orders:*'],
    ['*', '*:orders:/a/*']
  ] as const) {
    t.same(await hidden(`{ "id": "n", "scope": "${scope}", "resource": "${resource}" }`, wide), [], resource)
  }
  // Between equals: denied first, then the file's order.
  t.same(
    await warningsOf(
      '{ "id": "n", "resource": "*:*:*" }',
      '{ "id": "w", "resource": "*:*:*", "access": "denied" }'
    ),
    told
  )
  t.same(await warningsOf('{ "id": "w", "resource": "*:*:*" }', '{ "id": "n", "resource": "*:*:/x" }'), [
    '2: the rule "n" never decides: "w" is asked first and is about all of it'
  ])
})

t.test(
  'what the check calls idle does never decide, and ten thousand rules are checked in no time',
  async (t) => {
    let seed = 7
    const pick = <Item>(items: readonly Item[]): Item => {
      seed = (seed * 48_271) % 2_147_483_647
      return items[seed % items.length]!
    }
    const endpoints = ['*', '/*', '/a', '/a/*', '/a/b', '/a/b/*', '/c']
    const scopes = ['', '*', '+', 'x', 'y']
    const paths = ['/', '/a', '/a/', '/a/b', '/a/b/c', '/c', '/d']
    const accounts = [
      undefined,
      ...[true, false].flatMap((isOwn) => [[], ['x'], ['y'], ['x', 'y']].map((s) => ({ scopes: s, isOwn })))
    ]
    for (let round = 0; round < 300; round += 1) {
      const rules: Rule[] = Array.from({ length: 6 }, (_, index) => ({
        id: `r${index}`,
        scope: pick(scopes),
        resource: `service:${pick(['*', 'orders'])}:${pick(endpoints)}`,
        access: pick(['granted', 'denied'] as const),
        priority: pick([0, 1])
      }))
      const idle = new Set<string>()
      idleRules(
        { rules, services: { orders: {} } } as never,
        {
          warning: (_at: string, sentence: string) => idle.add(/"(r\d)"/.exec(sentence)![1]!)
        } as never
      )
      const decide = accessRules(rules, { type: 'service', name: 'orders' })
      for (const path of paths) {
        for (const account of accounts) {
          const { rule } = decide(account, path)
          if (rule !== undefined && idle.has(rule)) t.fail(`${rule} decides about ${path}`, { rules })
        }
      }
    }
    const many = Array.from({ length: 10_000 }, (_, index) => ({
      id: `r${index}`,
      scope: 'x',
      resource: `service:orders:/a/b/c/d/${index}/*`,
      access: 'granted',
      priority: 0
    }))
    const from = performance.now()
    idleRules(
      { rules: many, services: { orders: {} } } as never,
      { warning: () => t.fail('none is idle') } as never
    )
    t.ok(performance.now() - from < 3000)
  }
)
