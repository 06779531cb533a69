import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { closing, type FrameOptions, frame, noise, tunnelService } from '../support/frames.ts'
import { startGateway } from '../support/gateway.ts'
import { configFor } from '../support/upstream.ts'
import { closed, opened, wsUpstream } from '../support/websocket.ts'

/** Whatever passes the gateway is what would have come without it: the same bytes, to the last bit of a header. */

interface Script {
  readonly client: readonly Buffer[]
  readonly service: readonly Buffer[]
}

/** Plays a script straight to the service and by way of a gateway, and compares what came at both ends. */
async function playBoth(t: Test) {
  const up = await tunnelService(t)
  const { origin } = await startGateway(t, configFor([up.url]))
  const play = async (way: string, { client: mine, service: theirs }: Script) => {
    const { client, service } = await up.open(way)
    const send = async ({ socket }: { socket: typeof client.socket }, pieces: readonly Buffer[]) => {
      for (const piece of pieces) {
        socket.write(piece)
        // Each piece in a packet of its own, as far as that can be had.
        if (pieces.length > 1) await new Promise((resolve) => setImmediate(resolve))
      }
    }
    await Promise.all([send(client, mine), send(service, theirs)])
    const sum = (pieces: readonly Buffer[]) => pieces.reduce((all, { length }) => all + length, 0)
    await Promise.all([client.got(sum(theirs)), service.got(sum(mine))])
    const came = { atService: service.received, atClient: client.received }
    client.socket.destroy()
    service.socket.destroy()
    return came
  }
  return async (name: string, script: Script) => {
    const straight = await play(up.url, script)
    const through = await play(origin, script)
    t.ok(straight.atService.equals(Buffer.concat(script.client)), `${name}: the test itself works`)
    t.ok(through.atService.equals(straight.atService), `${name}: to the service`)
    t.ok(through.atClient.equals(straight.atClient), `${name}: to the client`)
  }
}

/** As a client and a service send it, in one piece or cut into pieces of `size` bytes. */
const scriptOf = (frames: (options: FrameOptions) => Buffer[], size?: number): Script => ({
  client: cut(Buffer.concat(frames({ isMasked: true })), size),
  service: cut(Buffer.concat(frames({})), size)
})

function cut(bytes: Buffer, size = bytes.length): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size))
  return pieces
}

t.test('every opcode, masked or not, those that mean nothing included', async (t) => {
  const both = await playBoth(t)
  for (let opcode = 0; opcode < 16; opcode += 1) {
    await both(`opcode ${opcode}`, {
      client: [frame(opcode, 'masked', { isMasked: true }), frame(opcode, 'not masked')],
      service: [frame(opcode, 'not masked'), frame(opcode, 'masked', { isMasked: true })]
    })
  }
})

t.test('every combination of the reserved bits, with and without FIN', async (t) => {
  const both = await playBoth(t)
  for (let rsv = 0; rsv < 8; rsv += 1) {
    for (const fin of [true, false])
      await both(
        `rsv ${rsv}, fin ${fin}`,
        scriptOf((side) => [frame(1, 'text', { ...side, rsv, fin })])
      )
  }
})

t.test('every kind of length, in one piece and in several', async (t) => {
  const both = await playBoth(t)
  for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 1_048_576]) {
    const frames = (side: FrameOptions) => [frame(2, noise(length), side), frame(9, 'p', side)]
    await both(`${length} bytes`, scriptOf(frames))
    await both(`${length} bytes in pieces`, scriptOf(frames, Math.max(1, Math.ceil(length / 7))))
  }
  for (const extended of [2, 8] as const) {
    await both(
      `five bytes with a length of ${extended} bytes`,
      scriptOf((side) => [frame(2, 'short', { ...side, extended }), frame(1, 'next', side)])
    )
  }
})

t.test('fragments with control frames between them, byte by byte', async (t) => {
  const both = await playBoth(t)
  const frames = (side: FrameOptions) => [
    frame(1, 'frag', { ...side, fin: false }),
    frame(9, 'ping', side),
    frame(0, '', { ...side, fin: false }),
    frame(10, 'pong', side),
    frame(0, 'ment', { ...side, fin: false }),
    frame(0, noise(200), { ...side, fin: false }),
    frame(0, 's', side),
    frame(2, noise(130), side)
  ]
  await both('in one piece', scriptOf(frames))
  await both('byte by byte', scriptOf(frames, 1))
  await both('three bytes at a time', scriptOf(frames, 3))
})

t.test('every close frame, whatever its code and reason', async (t) => {
  const both = await playBoth(t)
  const codes = Array.from({ length: 16 }, (_, index) => 1000 + index)
  for (const code of [...codes, 0, 999, 1100, 2999, 3000, 3999, 4000, 4401, 4999, 5000, 65_535]) {
    await both(
      `code ${code}`,
      scriptOf((side) => [closing(code, '', side)])
    )
    await both(
      `code ${code} with a reason`,
      scriptOf((side) => [closing(code, 'auf Wiedersehen, schön war’s', side)])
    )
  }
  await both(
    'no code',
    scriptOf((side) => [closing(undefined, '', side)])
  )
  await both(
    'half a code',
    scriptOf((side) => [frame(8, 'x', side)])
  )
  await both(
    'a reason that fills the frame',
    scriptOf((side) => [closing(1000, 'r'.repeat(123), side)])
  )
  await both(
    'frames behind it',
    scriptOf((side) => [closing(1000, '', side), frame(1, 'late', side), closing(1001, '', side)])
  )
})

t.test('permessage-deflate is agreed on and spoken end to end', async (t) => {
  const { url, sockets } = await wsUpstream(t, { perMessageDeflate: { threshold: 0 } })
  sockets.on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data as Buffer, { binary: isBinary }))
  )
  const { origin } = await startGateway(t, configFor([url]))
  const talk = async (way: string, perMessageDeflate: boolean | object) => {
    const socket = new WebSocket(way.replace('http', 'ws'), { perMessageDeflate })
    await opened(socket)
    const answers: string[] = []
    const all = new Promise<void>((resolve) =>
      socket.on('message', (data) => {
        answers.push(String(data))
        if (answers.length === 3) resolve()
      })
    )
    for (const word of ['', 'short', 'long '.repeat(20_000)]) socket.send(word, { compress: true })
    await all
    socket.close(1000)
    return { extensions: socket.extensions, answers, ...(await closed(socket)) }
  }
  for (const offer of [true, false, { serverNoContextTakeover: true, clientMaxWindowBits: 10 }]) {
    t.same(await talk(origin, offer), await talk(url, offer), JSON.stringify(offer))
  }
  t.match((await talk(origin, true)).extensions, /permessage-deflate/)
})

t.test('the subprotocols and extensions that are offered arrive as they were written', async (t) => {
  const up = await tunnelService(t)
  const { origin } = await startGateway(t, configFor([up.url]))
  const headers =
    'Sec-WebSocket-Protocol: one,  two\r\nSec-WebSocket-Protocol: three\r\n' +
    'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-own; q="a;b"\r\n' +
    'sec-websocket-extensions: second\r\nOrigin: https://page.example\r\n'
  for (const way of [up.url, origin]) await up.open(way, { headers })
  const own = (head: string) => head.split('\r\n').filter((line) => /^(sec-websocket|origin)/i.test(line))
  t.equal(own(up.heads[0]!).length, 7)
  t.same(own(up.heads[1]!), own(up.heads[0]!))
})
