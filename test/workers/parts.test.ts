import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { Counter, Gauge, Registry } from 'prom-client'
import t from 'tap'
import { Dispatcher, type Taker } from '../../services/workers/dispatcher.ts'
import type { Figures } from '../../services/workers/messages.ts'
import { Tally } from '../../services/workers/tally.ts'
import { passWholeLines } from '../../services/workers/whole-lines.ts'

t.test('lines of several sources never run into each other', async (t) => {
  const sources = [new PassThrough(), new PassThrough()]
  let written = ''
  const passed = sources.map((source) => passWholeLines(source, (lines) => (written += String(lines))))
  sources[0]!.write('{"a":1}\n{"a"')
  sources[1]!.write('{"b":"ä')
  sources[1]!.write(Buffer.from('ö"}').subarray(0, 1))
  sources[0]!.write(':2')
  sources[1]!.write(Buffer.from('ö"}').subarray(1))
  sources[0]!.write('}\n')
  sources[1]!.end('\n{"b":"broken off')
  sources[0]!.end()
  await Promise.all(passed)
  t.strictSame(written.trimEnd().split('\n').sort(), ['{"a":1}', '{"a":2}', '{"b":"broken off', '{"b":"äö"}'])
  t.ok(written.endsWith('\n'))
})

/** Fewer than a listener's queue has room for (511): the machine drops the others, and they come seconds later or never. */
const mostAtOnce = 100

t.test('each taker has one connection on its way, and what nobody takes waits', async (t) => {
  // 1. Real connections, so many that the last ones find no room.
  const dispatcher = new Dispatcher(1024)
  const server = createServer({ pauseOnConnect: true }, (socket) => dispatcher.add(socket)).listen(
    0,
    '127.0.0.1'
  )
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const came: Socket[] = []
  server.on('connection', (socket) => came.push(socket))
  const clients: Socket[] = []
  const dial = async (count: number): Promise<void> => {
    for (let left = count; left > 0; left -= mostAtOnce) {
      const wanted = came.length + Math.min(left, mostAtOnce)
      while (clients.length < wanted) {
        const client = connect(port, '127.0.0.1').on('error', () => {})
        t.teardown(() => client.destroy())
        clients.push(client)
      }
      for (let tries = 0; came.length < wanted && tries < 1000; tries += 1)
        await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const taker = (isThere = true) => {
    const got: Socket[] = []
    const one: Taker = {
      hand: (socket) => {
        if (isThere) got.push(socket)
        return isThere
      }
    }
    return { one, got }
  }
  const [first, second, gone] = [taker(), taker(), taker(false)]

  // 2. Nobody is there, then one that cannot be reached and two that can.
  const got = () => [first, second].map(({ got }) => got.map((socket) => came.indexOf(socket)))
  await dial(5)
  dispatcher.ready(gone.one)
  dispatcher.ready(first.one)
  t.strictSame(got(), [[0], []], 'one at a time')
  dispatcher.ready(second.one)
  t.strictSame(got(), [[0], [1]])
  dispatcher.ready(second.one)
  dispatcher.ready(first.one)
  t.strictSame(got(), [
    [0, 3],
    [1, 2]
  ])

  // 3. One that takes none any more gets none.
  dispatcher.ready(second.one)
  t.strictSame(got(), [
    [0, 3],
    [1, 2, 4]
  ])
  dispatcher.ready(second.one)
  dispatcher.remove(second.one)
  await dial(1100)
  t.equal(second.got.length, 3)
  const ended = came.filter(({ destroyed }) => destroyed).length
  t.equal(ended, 1100 - 1024, 'no more wait than may')
  dispatcher.close()
  t.equal(came.filter(({ destroyed }) => destroyed).length, 1100)
  for (const socket of came) socket.destroy()
})

t.test('counters of several processes add up and outlive them; gauges do not', async (t) => {
  const figuresOf = async (count: number, good: number): Promise<Figures> => {
    const registry = new Registry()
    const asked = new Counter({ name: 'asked', help: 'h', labelNames: ['route'], registers: [registry] })
    asked.inc({ route: 'a' }, count)
    new Gauge({ name: 'good', help: 'h', aggregator: 'min', registers: [registry] }).set(good)
    new Gauge({ name: 'open', help: 'h', registers: [registry] }).set(count)
    return (await registry.getMetricsAsJSON()) as Figures
  }
  const tally = new Tally()
  const both = [await figuresOf(3, 1), await figuresOf(4, 0)]
  const text = await tally.text(() => both)
  t.match(text, /^asked\{route="a"\} 7$/m)
  t.match(text, /^good 0$/m)
  t.match(text, /^open 7$/m)
  tally.keep(both[0]!)
  tally.keep(both[1]!)
  const next = await figuresOf(1, 1)
  const later = await tally.text(() => [next])
  t.match(later, /^asked\{route="a"\} 8$/m)
  t.match(later, /^good 1$/m)
  t.match(later, /^open 1$/m)
})
