import t from 'tap'
import { type Account, accessRules, type Rule } from '../../services/identity/rules.ts'

/** The cases of micro's rules_test.go, in its words; service and path as its resources have them. */
const account: Account = { scopes: [], isOwn: true }
const withScope = (...scopes: string[]): Account => ({ scopes, isOwn: true })
const foreign: Account = { scopes: ['account'], isOwn: false }

const rule = (resource: string, more: Partial<Rule> = {}): Rule => ({
  id: 'r',
  scope: '',
  access: 'granted',
  priority: 0,
  resource,
  ...more
})
const service = ['service', 'go.micro.service.foo', 'Foo.Bar'] as const
const web = ['service', 'go.micro.web.foo', '/foo/bar'] as const

type Case = readonly [
  name: string,
  rules: readonly Rule[],
  who: Account | undefined,
  what: readonly [string, string, string],
  allowed: boolean
]

const cases: readonly Case[] = [
  ['NoRules', [], account, service, false],
  ['CatchallPublicAccount', [rule('*:*:*')], account, service, true],
  ['CatchallPublicNoAccount', [rule('*:*:*')], undefined, service, true],
  ['CatchallPrivateAccount', [rule('*:*:*', { scope: '*' })], account, service, true],
  ['CatchallPrivateNoAccount', [rule('*:*:*', { scope: '*' })], undefined, service, false],
  ['CatchallServiceRuleMatch', [rule('service:*:*', { scope: '*' })], account, service, true],
  [
    'CatchallServiceRuleNoMatch',
    [rule('service:go.micro.service.bar:*', { scope: '*' })],
    account,
    service,
    false
  ],
  [
    'ExactRuleValidScope',
    [rule('service:go.micro.service.foo:Foo.Bar', { scope: 'neededscope' })],
    withScope('neededscope'),
    service,
    true
  ],
  [
    'ExactRuleInvalidScope',
    [rule('service:go.micro.service.foo:Foo.Bar', { scope: 'neededscope' })],
    withScope('invalidscope'),
    service,
    false
  ],
  ['CatchallDenyWithAccount', [rule('*:*:*', { scope: '*', access: 'denied' })], account, service, false],
  ['CatchallDenyWithNoAccount', [rule('*:*:*', { access: 'denied' })], undefined, service, false],
  [
    'RulePriorityGrantFirst',
    [rule('*:*:*', { scope: '*', priority: 1 }), rule('*:*:*', { scope: '*', access: 'denied' })],
    account,
    service,
    true
  ],
  [
    'RulePriorityDenyFirst',
    [rule('*:*:*', { scope: '*' }), rule('*:*:*', { scope: '*', access: 'denied', priority: 1 })],
    account,
    service,
    false
  ],
  ['WebExactEndpointValid', [rule('service:go.micro.web.foo:/foo/bar', { scope: '*' })], account, web, true],
  ['WebExactEndpointInvalid', [rule('service:go.micro.web.foo:/bar', { scope: '*' })], account, web, false],
  ['WebWildcardEndpoint', [rule('service:go.micro.web.foo:*', { scope: '*' })], account, web, true],
  [
    'WebWildcardPathEndpointValid',
    [rule('service:go.micro.web.foo:/foo/*', { scope: '*' })],
    account,
    web,
    true
  ],
  [
    'WebWildcardPathEndpointInvalid',
    [rule('service:go.micro.web.foo:/bar/*', { scope: '*' })],
    account,
    web,
    false
  ],
  ['CrossNamespaceForbidden', [rule('*:*:*', { scope: '*' })], foreign, service, false],
  ['CrossNamespaceNilAccountForbidden', [rule('*:*:*', { scope: '*' })], undefined, service, false],
  ['CrossNamespacePublic', [rule('*:*:*')], foreign, service, true],
  ['CrossNamespaceScope', [rule('*:*:*', { scope: 'account' })], foreign, service, false],
  ['CrossIssuerTrue', [rule('*:*:*', { scope: '+' })], foreign, service, true],
  ['CrossIssuerFalse', [rule('*:*:*', { scope: '*' })], foreign, service, false],
  // Ours.
  [
    'deny wins between equals',
    [rule('*:*:*', { scope: '*' }), rule('*:*:*', { scope: '*', access: 'denied' })],
    account,
    service,
    false
  ],
  [
    'deny wins between equals, whatever the order',
    [rule('*:*:*', { access: 'denied' }), rule('*:*:*')],
    account,
    service,
    false
  ],
  [
    'a rule for others does not apply',
    [rule('*:*:*', { scope: 'x', access: 'denied', priority: 9 }), rule('*:*:*')],
    account,
    service,
    true
  ],
  ['a folder is about itself', [rule('service:*:/foo/*')], account, ['service', 'a', '/foo'], true],
  [
    'a folder is not about its neighbour',
    [rule('service:*:/foo/*')],
    account,
    ['service', 'a', '/foobar'],
    false
  ],
  ['a folder with everything below', [rule('service:*:/foo/*')], account, ['service', 'a', '/foo/b/c'], true],
  [
    'case does not matter',
    [rule('Service:App:/Foo/*', { access: 'denied', priority: 1 }), rule('*:*:*')],
    account,
    ['service', 'app', '/fOO/x'],
    false
  ],
  ['colons belong to the endpoint', [rule('service:app:/a:b')], account, ['service', 'app', '/a:b'], true],
  [
    'in three parts',
    [rule('', { resource: { type: 'service', name: 'app', endpoint: '/a' } })],
    account,
    ['service', 'app', '/a'],
    true
  ]
]

/** Spellings of a denied path that reach the same thing at the service; `granted` for what only looks like one. */
const spellings: readonly (readonly [denied: string, endpoint: string, verdict: 'denied' | 'granted'])[] = [
  ['/exact', '/exact/', 'denied'],
  ['/exact/', '/exact', 'denied'],
  ['/exact', '/exactly', 'granted'],
  ['/', '/', 'denied'],
  // Requests are compared with harmless escapes decoded, and with all others in capitals.
  ['/käsa/*', '/k%C3%A4sa/x', 'denied'],
  ['/k%c3%a4sa/*', '/k%C3%A4sa/x', 'denied'],
  ['/a%20b/*', '/a b/x', 'denied'],
  ['/a b', '/a b', 'denied'],
  ['/%61dmin', '/admin', 'denied'],
  ['/a%2Fb', '/a%2Fb', 'denied'],
  ['/50%', '/50%', 'denied'],
  // Where a route lets escaped slashes through, the service may read them as slashes or not.
  ['/admin/*', '/admin%2Fx', 'denied'],
  ['/admin/*', '/%2Fadmin/x', 'denied'],
  ['/admin/*', '/Admin%5Cx', 'denied'],
  ['/admin/*', '/admin%25252fx', 'denied'],
  ['/admin', '/admin%2F', 'denied'],
  ['/admin/*', '/administer%2Fx', 'granted']
]

t.test('no spelling of a path goes round a rule that denies it', async (t) => {
  for (const [endpoint, path, verdict] of spellings) {
    const denied = { type: 'service', name: 'app', endpoint }
    const rules = [rule('service:*:*'), rule('', { id: 'no', resource: denied, access: 'denied' })]
    const decide = accessRules(rules, { type: 'service', name: 'app' })
    t.equal(decide(account, path).allowed, verdict === 'granted', `${endpoint} ${path}`)
  }
})

t.test('what a rule grants it grants only if the path is about that in every reading', async (t) => {
  const decide = accessRules([rule('service:app:/a/*')], { type: 'service', name: 'app' })
  t.ok(decide(account, '/a/b%2Fc').allowed)
  t.notOk(decide(account, '/a%2Fb').allowed)
})

for (const [name, rules, who, [type, resource, endpoint], allowed] of cases) {
  t.test(name, async (t) => {
    const decide = accessRules(rules, { type, name: resource })
    t.equal(decide(who, endpoint).allowed, allowed)
  })
}

t.test('a verdict names the rule that decided', async (t) => {
  const decide = accessRules([rule('*:*:/a', { id: 'a' })], { type: 'service', name: 'x' })
  t.same(decide(account, '/a'), { allowed: true, rule: 'a' })
  t.same(decide(account, '/b'), { allowed: false, rule: undefined })
})
