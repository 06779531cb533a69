import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { eventually, startOwnProcess } from '../support/own-process.ts'
import { httpUpstream, rawUpstream } from '../support/upstream.ts'

/** A node that hangs or breaks is the trouble of those who asked it, and of nobody else. */

/** Requests that hang on the sick node. */
const hanging = 200
/** Requests that are to be answered meanwhile. */
const healthy = 200

type Sick = (t: Test) => Promise<{ readonly url: string; readonly asked: () => number }>

const sicknesses: Record<string, Sick> = {
  'accepts and never answers': async (t) => {
    const up = await rawUpstream(t, () => {})
    return { url: up.url, asked: () => up.connections.length }
  },
  'accepts and never reads': async (t) => {
    const up = await rawUpstream(t, () => {})
    up.server.on('connection', (socket: Socket) => socket.pause())
    return { url: up.url, asked: () => up.connections.length }
  },
  'stops in the middle of each answer': async (t) => {
    const up = await rawUpstream(t, ({ socket }) => {
      if (socket.bytesWritten === 0) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf')
    })
    return { url: up.url, asked: () => up.connections.length }
  },
  'closes its side at once': async (t) => {
    const up = await rawUpstream(t, () => {})
    up.server.on('connection', (socket: Socket) => socket.end())
    return { url: up.url, asked: () => up.connections.length }
  },
  'resets every connection it is asked over': async (t) => {
    const up = await rawUpstream(t, ({ socket }) => socket.resetAndDestroy())
    return { url: up.url, asked: () => up.connections.length }
  },
  'answers nonsense': async (t) => {
    const up = await rawUpstream(t, ({ socket }) => void socket.write('nonsense\r\n\r\n'))
    return { url: up.url, asked: () => up.connections.length }
  }
}

const timeouts = { connect: '20s', response: '60s', idle: '60s' }

/** Half of them ask for something, half of them bring something. */
function ask(t: Test, origin: string, path: string, count: number): Socket[] {
  const { hostname, port } = new URL(origin)
  return Array.from({ length: count }, (_, index) => {
    const client = connect(Number(port), hostname)
    client.on('error', () => {}).resume()
    t.teardown(() => client.destroy())
    client.write(
      index % 2 === 0
        ? `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
        : `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(100_000)}`
    )
    return client
  })
}

t.test('no sick node holds up another service', async (t) => {
  const well = await httpUpstream(t, (request, response) =>
    request.resume().on('end', () => response.end('well'))
  )
  const sick = await Promise.all(Object.values(sicknesses).map((begin) => begin(t)))
  const names = sick.map((_, index) => `sick-${index}`)
  const gateway = await startOwnProcess(t, {
    listen: { connectionsPerAddress: 10_000 },
    store: { driver: 'embedded', path: 'store' },
    services: {
      well: { nodes: [well.url], timeouts },
      ...Object.fromEntries(sick.map(({ url }, index) => [names[index], { nodes: [url], timeouts }]))
    },
    routes: ['well', ...names].map((id) => ({ id, path: `/${id}`, service: id, auth: 'none' }))
  })
  for (const [index, name] of Object.keys(sicknesses).entries()) {
    const before = well.requests.length
    // Those of the node before still hang.
    ask(t, gateway.origin, `/sick-${index}`, hanging)
    await eventually('the sick node is asked', () => sick[index]!.asked() >= 20)
    const answers = await Promise.all(
      Array.from({ length: healthy }, async (_, count) => {
        const body = count % 2 === 0 ? null : 'x'.repeat(10_000)
        const response = await fetch(`${gateway.origin}/well`, {
          method: body === null ? 'GET' : 'POST',
          body
        })
        return `${response.status} ${await response.text()}`
      })
    )
    t.equal(answers.filter((answer) => answer === '200 well').length, healthy, `one that ${name}`)
    t.equal(well.requests.length - before, healthy, 'and each was sent once')
  }
})

for (const name of ['accepts and never answers', 'accepts and never reads']) {
  t.test(`a node that ${name} holds up nobody who is sent to another node of its service`, async (t) => {
    const sick = await sicknesses[name]!(t)
    const well = await httpUpstream(t, (_, response) => response.end('well'))
    const gateway = await startOwnProcess(t, {
      store: { driver: 'embedded', path: 'store' },
      services: { both: { nodes: [sick.url, well.url], timeouts } },
      routes: [{ id: 'both', path: '/*', service: 'both', auth: 'none' }]
    })
    let answered = 0
    let otherwise = 0
    const leaving = new AbortController()
    const asking = Array.from({ length: healthy }, async () => {
      try {
        const response = await fetch(gateway.origin, { signal: leaving.signal })
        if ((await response.text()) === 'well') answered += 1
        else otherwise += 1
      } catch {}
    })
    // By turns one half at most meets the sick node; a pool that learns sends fewer there.
    await eventually('one half is answered', () => answered >= healthy / 2)
    t.equal(otherwise, 0, 'and nobody is told anything else')
    leaving.abort()
    await Promise.all(asking)
    await eventually('those who are asked afterwards are answered as well', async () => {
      const signal = AbortSignal.timeout(1000)
      const text = await fetch(gateway.origin, { signal }).then(
        (response) => response.text(),
        () => ''
      )
      return text === 'well'
    })
  })
}
