import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { parseJson } from '../../config/json.ts'
import { Pace } from '../../config/pace.ts'
import { readPieces } from '../../config/pieces.ts'
import { eachScalar, plainOf, Source } from '../../config/source.ts'
import { newMemory } from '../../routes/memory.ts'

const sample = `\uFEFF// A config with all that the language takes.
{
  "$schema": "./x.json", /* one */ "listen": { "public": ":1", "timeouts": { "head": "1s" } },
  "routes": [
    // the first
    { "id": "a", "path": "/a/*", "methods": ["GET", "POST"], "headers": { "x-\\"y\\"": "{[,:]}" } },
    { "id": "b\\u0041", "path": "/b", "limit": { "qps": 0.5, "slack": -1e3 }, "auth": null, },
    "odd", 7, true, null, [1, [2, {}]], {}
  ],
  "empty": [], "none": {}, "text": "a /* b */ // c", "number": -0.5,
}
`.slice(1)

/** What the parser that reads a text whole makes of it. */
function whole(text: string) {
  const { root, flaws } = parseJson(text)
  return flaws.length > 0 || root?.value.kind !== 'object' ? undefined : root
}

const plainIn = (text: string) => {
  const root = whole(text)
  return root && plainOf(root, (_, scalar) => scalar)
}

t.test('a file in pieces holds what the whole file holds, at the same places', async (t) => {
  for (const text of [sample, sample.replaceAll('\n', '\r\n'), '{}', ' { "a" : [ ] } ', '{"a":[1,],}']) {
    const pieces = await readPieces(text, new Pace(), undefined)
    t.same(pieces?.referring.length, text.includes('\\u0041') ? 1 : 0)
    for (const { node, put } of pieces?.referring ?? []) put(plainOf(node, (_, scalar) => scalar))
    t.same(pieces?.value, plainIn(text), text.slice(0, 20))
    const before = new Source('x', text, { root: whole(text), flaws: [] })
    const after = new Source('x', text, { root: pieces?.root, flaws: [] }, pieces)
    eachScalar(before.root!, (pointer) => {
      for (const aim of ['value', 'key', 'entry'] as const) {
        t.same(after.locate(pointer, aim), before.locate(pointer, aim), `${aim} of ${pointer}`)
      }
    })
    for (const pointer of [
      '',
      '/routes',
      '/routes/1',
      '/routes/1/limit',
      '/none',
      '/routes/99/x',
      '/absent'
    ]) {
      t.same(after.locate(pointer), before.locate(pointer), pointer)
    }
  }
})

t.test('whatever is done to a file, what is read in pieces is what is read whole', async (t) => {
  let seed = 7
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return (seed >>> 8) % below
  }
  const scraps = [
    '"',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '\\',
    '/',
    '//',
    '/*',
    '*/',
    '\n',
    '"a"',
    '__proto__',
    ' ',
    '0'
  ]
  const counts = { same: 0, left: 0 }
  for (let round = 0; round < 3000; round += 1) {
    let text = sample
    for (let change = 0; change <= random(2); change += 1) {
      const at = random(text.length)
      const scrap = scraps[random(scraps.length)]!
      text = text.slice(0, at) + scrap + text.slice(at + random(3))
    }
    // A reference in a key is a mistake that only the other parser tells.
    if (text.includes('${')) continue
    const pieces = await readPieces(text, new Pace(), undefined)
    for (const { node, put } of pieces?.referring ?? []) put(plainOf(node, (_, scalar) => scalar))
    const expected = plainIn(text)
    if (JSON.stringify(pieces?.value) !== JSON.stringify(expected)) {
      t.same(pieces?.value, expected, `after round ${round}: ${text}`)
    }
    counts[expected === undefined ? 'left' : 'same'] += 1
  }
  t.ok(counts.same > 500 && counts.left > 500, `${counts.same} were good, ${counts.left} were not`)
})

t.test('leaves what has a flaw, or a reference in a key, to the parser that tells it', async (t) => {
  const flawed = [
    '',
    '[]',
    '{ "a": 1 } x',
    '{ "a": 1, "a": 2 }',
    '{ "a": [{ "b": 1, "b": 2 }] }',
    '{ "a": [{ "__proto__": {} }] }',
    '{ "__proto__": {} }',
    '{ "a": [1,,2] }',
    '{ "a": [1 2] }',
    '{ "a": { "b": [ } }',
    '{ "${A}": 1 }',
    `{ "a": ${'['.repeat(10_000)}${']'.repeat(10_000)} }`
  ]
  for (const text of flawed) {
    t.equal(await readPieces(text, new Pace(), undefined), undefined, text.slice(0, 40))
  }
})

t.test('with what the config before left, a config is the same as without', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'toll-memory-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'gateway.config.json')
  const route = (id: string, more = {}) => ({ id, path: `/${id}/*`, service: 's', ...more })
  const memory = newMemory()
  const configs: readonly (readonly object[])[] = [
    [route('a'), route('b', { auth: 'none' }), route('c', { limit: { qps: 1 } })],
    [route('a'), route('b', { auth: 'none', maxBody: '1MiB' }), route('c', { limit: { qps: 1 } })],
    // In another order, one gone, one added before.
    [route('c', { limit: { qps: 1 } }), route('d'), route('a')],
    [route('d'), route('a', { hosts: ['${TOLL_TEST_HOST}'] }), route('c', { limit: { qps: 1 } })]
  ]
  t.teardown(() => {
    delete process.env.TOLL_TEST_HOST
  })
  let before: readonly object[] = []
  for (const [index, routes] of [...configs, configs[3]!].entries()) {
    process.env.TOLL_TEST_HOST = `host-${index}.example`
    writeFileSync(path, JSON.stringify({ services: { s: { nodes: ['http://127.0.0.1:1'] } }, routes }))
    const kept = await loadGatewayConfig(path, memory)
    const fresh = await loadGatewayConfig(path)
    t.same(kept.value, fresh.value, 'the value')
    t.equal(kept.revision, fresh.revision, 'the revision')
    t.same(kept.redacted, fresh.redacted, 'what is shown of it')
    t.ok(Object.isFrozen(kept.value.routes) && kept.value.routes.every(Object.isFrozen), 'frozen')
    const shared = kept.value.routes.filter((one) => before.includes(one)).map(({ id }) => id)
    t.same(shared, [[], ['a', 'c'], ['c', 'a'], ['d', 'c'], ['d', 'c']][index], 'what is the same object')
    before = kept.value.routes
  }
  // A refused config between two good ones changes nothing of what is kept.
  writeFileSync(path, JSON.stringify({ services: {}, routes: [route('d'), { id: 'x' }] }))
  await t.rejects(loadGatewayConfig(path, memory))
  writeFileSync(
    path,
    JSON.stringify({ services: { s: { nodes: ['http://127.0.0.1:1'] } }, routes: [route('d')] })
  )
  const last = await loadGatewayConfig(path, memory)
  t.ok(before.includes(last.value.routes[0]!))
})
