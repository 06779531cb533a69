import t from 'tap'
import { unmask } from '../../config/unmask.ts'

const plain = {
  store: { url: 'redis://app:p%40ss@one:6379' },
  items: [
    { id: 'a', token: 'token of a' },
    { id: 'b', token: 'token of b' }
  ],
  nodes: [{ url: 'http://u:first@same' }, { url: 'http://u:second@other' }]
}
const redacted = {
  store: { url: 'redis://app:[secret]@one:6379' },
  items: [
    { id: 'a', token: '[secret]' },
    { id: 'b', token: '[secret]' }
  ],
  nodes: [{ url: 'http://u:[secret]@same' }, { url: 'http://u:[secret]@other' }]
}
const present = { plain, redacted }

t.test(
  'gives back what was masked, also where items moved, and leaves the rest of the text alone',
  async (t) => {
    const [a, b] = redacted.items
    const [first, second] = redacted.nodes
    const moved = { ...redacted, items: [{ id: 'new' }, { ...b, more: 1 }, a], nodes: [second, first] }
    const { text, refused } = await unmask('c.json', `// as it is\n${JSON.stringify(moved)}`, present)
    t.same(refused, [])
    t.match(text, /^\/\/ as it is\n/)
    t.same(JSON.parse(text.slice(text.indexOf('\n'))), {
      ...plain,
      items: [{ id: 'new' }, { id: 'b', token: 'token of b', more: 1 }, { id: 'a', token: 'token of a' }],
      nodes: [plain.nodes[1], plain.nodes[0]]
    })
  }
)

t.test('does so in YAML, however it is quoted', async (t) => {
  const written = `# mine\nstore:\n  url: redis://app:[secret]@one:6379 # here\nitems:\n  - { id: b, token: '[secret]' }\n`
  const { text, refused } = await unmask('c.yaml', written, present)
  t.same(refused, [])
  t.equal(
    text,
    `# mine\nstore:\n  url: "redis://app:p%40ss@one:6379" # here\nitems:\n  - { id: b, token: "token of b" }\n`
  )
})

t.test('no secret goes where it was not given for', async (t) => {
  const at = async (value: unknown) => (await unmask('c.json', JSON.stringify(value), present)).refused
  t.same(await at({ store: { url: 'redis://app:[secret]@elsewhere:6379' } }), ['/store/url'])
  t.same(await at({ items: [{ id: 'c', token: '[secret]' }] }), ['/items/0/token'])
  t.same(await at({ nodes: [{ url: 'http://u:[secret]@same', weight: 2 }] }), ['/nodes/0/url'])
  t.same(await at({ other: '[secret]', __proto__: null }), ['/other'])
  const twins = {
    plain: { list: ['u://a:1@b', 'u://a:2@b'] },
    redacted: { list: ['u://a:[secret]@b', 'u://a:[secret]@b'] }
  }
  const one = await unmask('c.json', JSON.stringify({ list: ['x', 'y', 'u://a:[secret]@b'] }), twins)
  t.same(one.refused, ['/list/2'], 'nor by a guess')
})
