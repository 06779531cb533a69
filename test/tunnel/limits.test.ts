import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ask } from '../support/client.ts'
import { type End, frame, openRaw, tunnelService } from '../support/frames.ts'
import { startGateway } from '../support/gateway.ts'
import { eventually, startOwnProcess } from '../support/own-process.ts'
import { configFor, exchange, rawUpstream } from '../support/upstream.ts'
import { usersFile } from '../support/users.ts'

const asks = (path = '/', headers = '') =>
  `GET ${path} HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`

const limited = (url: string, webSockets: object, service = {}) =>
  configFor([url], { route: { webSockets }, service })

/** Waits until so many more can be opened, opens them, and sees the next one refused. */
async function hasRoomFor(t: Test, origin: string, room: number): Promise<End[]> {
  const open: End[] = []
  for (let count = 0; count < room; count += 1) {
    await eventually(`there is room for ${room}`, async () => {
      const end = await openRaw(t, origin).catch(() => undefined)
      if (end !== undefined) open.push(end)
      return end !== undefined
    })
  }
  t.match(await exchange(origin, asks()), /^HTTP\/1\.1 429 /, `room for ${room} and no more`)
  return open
}

t.test(
  'one WebSocket more than a client may have is refused, with a reason, before the service hears of it',
  async (t) => {
    const up = await tunnelService(t)
    const { origin, log } = await startGateway(t, limited(up.url, { perUser: 2 }))
    const open = [await up.open(origin), await up.open(origin)]
    const answer = await exchange(origin, asks())
    t.match(answer, /^HTTP\/1\.1 429 Too Many Requests\r\n/)
    t.match(answer, /\r\ncontent-type: application\/problem\+json/i)
    t.match(answer, /\r\nretry-after: 1\r\n/i)
    t.match(answer, /"code":"TOO_MANY_WEBSOCKETS"/)
    t.match(
      answer,
      /You have 2 WebSockets open on \\"all\\", and that is the most you may have; close one first\./
    )
    t.equal(up.heads.length, 2, 'the service was not asked')
    t.match(
      log().findLast(({ msg }) => msg === 'request'),
      { status: 429, verdict: 'TOO_MANY_WEBSOCKETS', reason: 'web_sockets' }
    )
    for (const { client, service } of open) {
      client.socket.write(frame(1, 'still here', { isMasked: true }))
      await service.got(16)
    }
  }
)

t.test('a place is free again however the WebSocket ended', async (t) => {
  const up = await tunnelService(t, { endsAlong: true })
  const { origin } = await startGateway(t, limited(up.url, { perUser: 3 }))
  const leaves: ((ends: { client: End; service: End }) => void)[] = [
    ({ client }) => void client.socket.resetAndDestroy(),
    ({ client }) => void client.socket.destroy(),
    ({ service }) => void service.socket.resetAndDestroy(),
    ({ client, service }) => {
      service.socket.end()
      client.socket.once('end', () => client.socket.end())
    },
    ({ client, service }) => {
      client.socket.end()
      service.socket.end()
    },
    ({ client, service }) => {
      client.socket.resetAndDestroy()
      service.socket.resetAndDestroy()
    }
  ]
  for (const leave of leaves) {
    const three = []
    for (let count = 0; count < 3; count += 1) {
      let ends: Awaited<ReturnType<typeof up.open>> | undefined
      await eventually('there is room', async () => {
        ends = await up.open(origin).catch(() => undefined)
        return ends !== undefined
      })
      three.push(ends!)
    }
    t.match(await exchange(origin, asks()), /^HTTP\/1\.1 429 /)
    for (const ends of three) leave(ends)
  }
  await hasRoomFor(t, origin, 3)
})

t.test('a handshake that came to nothing holds no place', async (t) => {
  let answer = ''
  const up = await rawUpstream(t, ({ socket }) => {
    if (answer !== '') socket.end(answer)
  })
  const config = limited(up.url, { perUser: 2 }, { timeouts: { response: '300ms' } })
  const { origin } = await startGateway(t, config)
  // Refused by the service, one after the other.
  answer = 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'
  for (let count = 0; count < 6; count += 1) t.match(await exchange(origin, asks()), /^HTTP\/1\.1 403 /)
  // Never answered.
  answer = ''
  for (let round = 0; round < 2; round += 1) {
    const answers = await Promise.all([1, 2].map(() => exchange(origin, asks())))
    t.ok(
      answers.every((text) => text.startsWith('HTTP/1.1 504 ')),
      'no answer'
    )
  }
  // Left by the client, at any moment.
  const { hostname, port } = new URL(origin)
  for (let count = 0; count < 40; count += 1) {
    const client = connect(Number(port), hostname)
    client.on('error', () => {})
    client.write(asks())
    await new Promise((resolve) => setTimeout(resolve, count % 4))
    if (count % 2 === 0) client.resetAndDestroy()
    else client.destroy()
  }
  answer = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'
  const open: End[] = []
  await eventually('both places are free', async () => {
    const end = await openRaw(t, origin).catch(() => undefined)
    if (end !== undefined && end.ending === undefined) open.push(end)
    return open.length >= 2
  })
})

t.test('handshakes under way are counted: a hundred at once open no more than may be open', async (t) => {
  const up = await tunnelService(t)
  const { origin } = await startGateway(t, limited(up.url, { perUser: 7 }))
  const opened = await Promise.all(
    Array.from({ length: 100 }, () =>
      up.open(origin).then(
        () => true,
        () => false
      )
    )
  )
  t.equal(opened.filter((isOpen) => isOpen).length, 7)
  t.equal(up.heads.length, 7)
})

t.test('other requests of the route are not counted, nor are the WebSockets of another one', async (t) => {
  const up = await tunnelService(t)
  const { origin } = await startGateway(t, {
    ...configFor([up.url]),
    routes: ['one', 'two'].map((id) => ({
      id,
      path: `/${id}`,
      service: 'up',
      auth: 'none',
      rewrite: { stripPrefix: `/${id}` },
      webSockets: { perUser: 1 }
    }))
  })
  await openRaw(t, origin, '/one')
  t.match(await exchange(origin, asks('/one')), /^HTTP\/1\.1 429 /)
  await openRaw(t, origin, '/two')
  const plain = await exchange(
    origin,
    'GET /one HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n'
  )
  t.notMatch(plain, /TOO_MANY_WEBSOCKETS/)
})

t.test('a reload forgets no place, and counts on with its own number', async (t) => {
  const up = await tunnelService(t, { endsAlong: true })
  const { origin, reconfigure } = await startGateway(t, limited(up.url, { perUser: 2 }))
  const first = await openRaw(t, origin)
  await openRaw(t, origin)
  await reconfigure(configFor([up.url]))
  await openRaw(t, origin)
  await reconfigure(limited(up.url, { perUser: 3 }))
  t.match(await hasRoomFor(t, origin, 1), { length: 1 })
  first.socket.destroy()
  await hasRoomFor(t, origin, 1)
})

t.test('users are counted one by one, whatever address they come from', async (t) => {
  const up = await tunnelService(t, { endsAlong: true })
  const config = {
    ...configFor([up.url], { route: { auth: 'required', webSockets: { perUser: 2 } } }),
    auth: { users: { driver: 'file', path: 'users.json' } }
  }
  const users = await usersFile({ kesa: { password: '123' }, tess: { password: 'tess1' } })
  const { origin } = await startGateway(t, config, { files: { 'users.json': users } })
  const signIn = async (username: string, password: string) =>
    String((await ask('POST', `${origin}/auth/login`, { json: { username, password } })).body.access_token)
  const [kesa, tess] = [await signIn('kesa', '123'), await signIn('tess', 'tess1')]
  const header = (token: string) => `Authorization: Bearer ${token}\r\n`
  for (const token of [kesa, tess]) {
    const open = await openRaw(t, origin, '/', header(token))
    await openRaw(t, origin, '/', header(token))
    t.match(await exchange(origin, asks('/', header(token))), /^HTTP\/1\.1 429 /)
    open.socket.destroy()
    await eventually('the place is free again', () =>
      openRaw(t, origin, '/', header(token)).then(
        () => true,
        () => false
      )
    )
    t.match(await exchange(origin, asks('/', header(token))), /^HTTP\/1\.1 429 /)
  }
})

t.test(
  'an explained handshake says how many are open, refuses as it would, and takes no place',
  async (t) => {
    const up = await tunnelService(t)
    const { origin, admin, directory } = await startGateway(t, limited(up.url, { perUser: 1, idle: '5m' }))
    const token = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
    const explain = async (headers: Record<string, string>) => {
      const json = { method: 'GET', url: '/', headers }
      const { body } = await ask('POST', `${admin}/admin/explain`, { token, json })
      const steps = body.steps as { step: string; outcome: string; facts: object }[]
      return {
        allowed: body.allowed,
        code: body.code,
        step: steps.find(({ step }) => step === 'web-sockets')
      }
    }
    const handshake = { upgrade: 'websocket', connection: 'Upgrade' }
    for (let round = 0; round < 3; round += 1) {
      t.match(await explain(handshake), {
        allowed: true,
        step: { outcome: 'passes', facts: { open: 0, perUser: 1, idle: '5m' } }
      })
    }
    await openRaw(t, origin)
    t.match(await explain(handshake), {
      allowed: false,
      code: 'TOO_MANY_WEBSOCKETS',
      step: { outcome: 'refuses', facts: { open: 1, perUser: 1 } }
    })
    t.same((await explain({})).step, { step: 'web-sockets', outcome: 'passes', facts: {} })
  }
)

t.test('words of either side keep a WebSocket open, silence of both ends it with 1001', async (t) => {
  const up = await tunnelService(t)
  // The WebSockets' own silence counts, not the service's.
  const config = limited(up.url, { idle: '1500ms' }, { timeouts: { idle: '100ms' } })
  const { origin } = await startGateway(t, config)
  for (const side of ['client', 'service'] as const) {
    const ends = await up.open(origin)
    for (let count = 0; count < 8; count += 1) {
      ends[side].socket.write(frame(9, '', { isMasked: side === 'client' }))
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
    t.equal(ends.client.ending ?? ends.service.ending, undefined, `${side} speaks`)
    t.equal(await ends.client.ended(), 'end')
    t.ok(ends.client.received.toString('latin1').endsWith('\x88\x02\x03\xe9'), 'the client is told 1001')
    await ends.service.ended()
    t.ok(
      ends.service.received.toString('latin1').endsWith('\x88\x82\0\0\0\0\x03\xe9'),
      'and so is the service, masked'
    )
  }
})

t.test('an end by the gateway is put between two frames, on both sides', async (t) => {
  const up = await tunnelService(t)
  const gateway = await startGateway(t, limited(up.url, { perUser: 9 }))
  const { client, service } = await up.open(gateway.origin)
  const [mine, theirs] = [frame(2, 'x'.repeat(200), { isMasked: true }), frame(1, 'y'.repeat(300))]
  client.socket.write(mine.subarray(0, 50))
  service.socket.write(theirs.subarray(0, 3))
  await Promise.all([client.got(3), service.got(50)])
  const stopping = gateway.stop()
  await new Promise((resolve) => setTimeout(resolve, 30))
  client.socket.write(Buffer.concat([mine.subarray(50), frame(1, 'too late', { isMasked: true })]))
  service.socket.write(Buffer.concat([theirs.subarray(3), frame(1, 'too late')]))
  await Promise.all([client.ended(), service.ended()])
  t.ok(client.received.equals(Buffer.concat([theirs, Buffer.from('8802' + '03e9', 'hex')])))
  t.ok(service.received.equals(Buffer.concat([mine, Buffer.from('8882' + '00000000' + '03e9', 'hex')])))
  client.socket.destroy()
  service.socket.destroy()
  await stopping
})

t.test('SIGTERM says 1001 on every WebSocket, and the process ends', async (t) => {
  const up = await tunnelService(t)
  const gateway = await startOwnProcess(t, limited(up.url, { perUser: 100 }))
  const tunnels = []
  for (let count = 0; count < 20; count += 1) tunnels.push(await up.open(gateway.origin))
  const ended = gateway.stop()
  for (const { client, service } of tunnels) {
    t.equal(await client.ended(), 'end')
    t.equal(client.received.toString('hex'), '880203e9')
    await service.ended()
    t.equal(service.received.toString('hex'), '88820000000003e9')
    client.socket.destroy()
    service.socket.destroy()
  }
  t.equal(await ended, 0)
})
