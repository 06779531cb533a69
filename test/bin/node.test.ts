import t from 'tap'
import { cluster, named, startOver, until, who } from '../support/nodes.ts'
import { runToll } from '../support/running.ts'

t.test('toll node drain shows what is still running, here and elsewhere, until nothing is', async (t) => {
  const [a, b] = [await named(t, 'a'), await named(t, 'b')]
  const { gateways } = await cluster(t, [a.url], 2)
  const [one, two] = gateways as [(typeof gateways)[0], (typeof gateways)[0]]
  await one.call('POST', '', { url: b.url, id: 'b', weight: 1000 })
  await until(async () => (await two.nodes()).length === 2, 'the other gateway has the node')
  const slow = [one, two, two].map(async ({ origin }) => (await fetch(`${origin}/orders/slow`)).text())
  await until(() => a.waiting.length + b.waiting.length === 3, 'three requests run')
  t.equal(b.waiting.length, 3, 'nearly everything goes to the heavy node')
  const stuck = await one.toll(t, 'drain', 'b', '--timeout', '3s', '--json')
  t.equal(stuck.code, 3)
  t.match(JSON.parse(stuck.out), { id: 'b', state: 'drain', inFlight: 1, elsewhere: 2, drained: false })
  t.match(await two.toll(t, 'up', 'b'), { code: 0, out: 'b takes requests again.' })
  const { ended, output, seen } = runToll(t, ['node', 'drain', 'b'], {}, one.env)
  await seen(/^b: 3 requests are still running, 2 of them at other gateways$/m)
  await until(async () => (await two.call('GET', 'b')).body.state === 'drain', 'the other gateway drains too')
  const before = b.requests.length
  t.same(await who(one.get), ['a'])
  t.same(await who(two.get), ['a'])
  t.equal(b.requests.length, before, 'a drained node gets nothing new')
  b.waiting.splice(0, 2).map((finish) => finish())
  await seen(/^b: 1 request is still running/m)
  for (const finish of b.waiting.splice(0)) finish()
  t.equal(await ended, 0, output.err)
  t.match(output.out, /^b: drained\.$/m)
  t.same(await Promise.all(slow), ['b', 'b', 'b'], 'what was running was finished')
})

t.test('toll node drain claims nothing that it cannot know', async (t) => {
  const [a, b] = [await named(t, 'a'), await named(t, 'b')]
  const { redis, gateways } = await cluster(t, [a.url], 2)
  const [one, two] = gateways as [(typeof gateways)[0], (typeof gateways)[0]]
  await one.call('POST', '', { url: b.url, id: 'b', weight: 1000 })
  await until(async () => (await two.nodes()).length === 2, 'the other gateway has the node')
  const slow = fetch(`${two.origin}/orders/slow`).then((answer) => answer.text())
  await until(() => a.waiting.length + b.waiting.length === 1, 'a request runs')
  const lifted = runToll(t, ['node', 'drain', 'b'], {}, one.env)
  await lifted.seen(/^b: 1 request is still running, 1 of them at other gateways$/m)
  await two.call('PUT', 'b', { state: 'up' })
  t.equal(await lifted.ended, 1)
  t.match(lifted.output.err, /"b" was let take requests again meanwhile/)
  const blind = runToll(t, ['node', 'drain', 'b', '--timeout', '8s'], {}, one.env)
  await blind.seen(/^b: 1 request is still running, 1 of them at other gateways$/m)
  await redis.kill()
  t.equal(await blind.ended, 3)
  t.match(blind.output.out, /the store does not answer, so other gateways may have more$/m)
  t.match(blind.output.out, /^b: gets nothing new; what other gateways still have was not known after 8s\.$/m)
  for (const finish of [...a.waiting, ...b.waiting]) finish()
  t.equal(await slow, 'b')
})

t.test('toll node lists, adds, weighs and removes', async (t) => {
  const [a, b] = [await named(t, 'a'), await named(t, 'b')]
  const { toll, idOf } = await startOver(t, [a.url])
  t.match(await toll(t, 'add', 'orders', b.url, '--id', 'b', '--weight', '2'), {
    code: 0,
    out: 'Added b to "orders".'
  })
  const listed = await toll(t, 'ls')
  t.match(listed.out, new RegExp(`^b\torders\t${b.url}\t2\tup\twell\t0\tattached$`, 'm'))
  t.match(await toll(t, 'weight', 'b', '5'), { code: 0, out: 'b has the weight 5.' })
  t.match(await toll(t, 'drain', 'b', '--no-wait'), { code: 0, out: 'b gets nothing new.' })
  t.match(await toll(t, 'up', 'bb'), { code: 1, err: /no service has a node "bb"; did you mean "b"\?/ })
  t.match(await toll(t, 'add', 'orders', b.url), { code: 1, err: /has this node already, as "b"/ })
  t.match(await toll(t, 'rm', 'b', '--json'), { code: 0, out: /^\{"id":"b","inFlight":0\}$/ })
  t.match(await toll(t, 'rm', await idOf(a.url)), { code: 0, err: /^warning: "orders" has no node left/ })
  const detached = JSON.parse((await toll(t, 'ls', 'orders', '--json')).out)
  t.match(detached, [{ name: 'orders', nodes: [], detached: [{ url: a.url }] }])
})
