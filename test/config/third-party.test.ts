import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { refusalOf } from '../support/config.ts'

const shout = `
import { Type } from '${import.meta.resolve('@sinclair/typebox')}'
export const plugin = {
  key: 'shout',
  slice: Type.Object({ volume: Type.Integer({ description: 'How loud.', default: 3 }) }),
  route: Type.Object({ shout: Type.Boolean({ description: 'Whether.', default: false }) }),
  setup: () => undefined
}`
const limits = shout.replace("key: 'shout'", "key: 'limits'").replace('{ shout: Type', '{ maxBody: Type')
const plain = `export default { key: 'plain', setup() {} }`

/** Loads a config that brings these plugins along. */
function loading(t: Test, plugins: readonly unknown[], route: Record<string, unknown> = {}) {
  const folder = t.testdir({
    'shout.mjs': shout,
    'plain.mjs': plain,
    'limits.mjs': limits,
    'none.mjs': 'export const other = 1',
    'gateway.config.json': JSON.stringify({
      services: { orders: { nodes: ['http://127.0.0.1:4001'] } },
      routes: [{ id: 'a', path: '/a', service: 'orders', ...route }],
      plugins
    })
  })
  return loadGatewayConfig(join(folder, 'gateway.config.json'))
}

t.test('checks the options and the route fields of a plugin from outside by its own schemas', async (t) => {
  const entry = { use: './shout.mjs', after: 'authenticate' }
  const { value } = await loading(t, [entry], { shout: true })
  t.same(value.plugins, [{ ...entry, options: { volume: 3 } }])
  t.match(value.routes[0], { shout: true })
  const { mistakes } = await refusalOf(loading(t, [{ ...entry, options: { volum: 5 } }], { shout: 'loud' }))
  t.match(mistakes, [
    { pointer: '/routes/0/shout', sentence: /must be true or false/ },
    { pointer: '/plugins/0/options/volum', suggestion: 'volume' }
  ])
})

t.test('takes the name of a step, its key, or the key of a plugin that was placed before', async (t) => {
  for (const after of ['auth', 'authenticate', 'authorize', 'rate-limit', 'cors', 'guard', 'access-log']) {
    await loading(t, [{ use: './plain.mjs', after }])
  }
  await loading(t, [
    { use: './shout.mjs', after: 'cors' },
    { use: './plain.mjs', after: 'shout' }
  ])
  for (const [after, meant] of [
    ['authentikate', 'authenticate'],
    ['listen', undefined],
    ['plain', undefined]
  ] as const) {
    const { mistakes } = await refusalOf(loading(t, [{ use: './plain.mjs', after }]))
    t.match(mistakes, [
      { pointer: '/plugins/0/after', sentence: `there is no plugin "${after}" to stand after` }
    ])
    t.equal(mistakes[0]?.suggestion, meant)
  }
})

t.test(
  'refuses a plugin that is missing, is none, has a key that is taken, or takes no options',
  async (t) => {
    const { mistakes } = await refusalOf(
      loading(t, [
        { use: './nowhere.mjs', after: 'cors' },
        { use: './none.mjs', after: 'cors' },
        { use: './plain.mjs', after: 'cors', options: { loud: true } },
        { use: './plain.mjs', after: 'cors' }
      ])
    )
    t.match(mistakes, [
      { pointer: '/plugins/0/use', sentence: /^the plugin cannot be loaded/ },
      { pointer: '/plugins/1/use', sentence: /exports no plugin/ },
      { pointer: '/plugins/2/options/loud', sentence: /^unknown key "loud"/ },
      { pointer: '/plugins/3/use', sentence: 'another plugin has the key "plain"' }
    ])
  }
)

t.test('refuses a field of routes that is there already, at the plugin that brings it', async (t) => {
  const { mistakes } = await refusalOf(
    loading(
      t,
      [
        { use: './shout.mjs', after: 'cors' },
        { use: './limits.mjs', after: 'cors', options: { volume: 'high' } },
        { use: './shout.mjs', after: 'cors' }
      ],
      { shout: 'loud', maxBody: '1MiB' }
    )
  )
  t.same(
    mistakes.map(({ pointer, sentence }) => [pointer, sentence]),
    [
      ['/routes/0/shout', 'routes[0].shout must be true or false, not the string "loud"'],
      ['/plugins/1/use', 'the plugin adds "maxBody" to routes, which have one already'],
      [
        '/plugins/1/options/volume',
        'plugins[1].options.volume must be a whole number, not the string "high"'
      ],
      ['/plugins/2/use', 'another plugin has the key "shout"']
    ]
  )
})
