import { createSocket } from 'node:dgram'
import type { Test } from 'tap'

interface Records {
  a?: readonly string[]
  srv?: readonly {
    readonly name: string
    readonly port: number
    readonly weight?: number
    readonly priority?: number
  }[]
  /** Seconds. */
  ttl?: number
}

const A = 1
const SRV = 33

/** A small name server on loopback; it ends with the test. What it knows may be changed at any time. */
export async function dnsServer(t: Test, records: Record<string, Records>) {
  const socket = createSocket('udp4')
  const server = {
    records,
    /** `answer` as it knows; `refuse` with SERVFAIL; `silent` not at all. */
    mode: 'answer' as 'answer' | 'refuse' | 'silent',
    /** Questions so far. */
    questions: 0,
    address: ''
  }
  socket.on('message', (query, { port, address }) => {
    server.questions += 1
    if (server.mode === 'silent') return
    const { name, type, end } = questionOf(query)
    const known = server.records[name]
    const answers = server.mode === 'refuse' || known === undefined ? [] : answersTo(type, known)
    const code = server.mode === 'refuse' ? 2 : known === undefined ? 3 : 0
    const head = Buffer.alloc(12)
    query.copy(head, 0, 0, 2)
    head.writeUInt16BE(0x8180 | code, 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt16BE(answers.length, 6)
    socket.send(Buffer.concat([head, query.subarray(12, end), ...answers]), port, address)
  })
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  server.address = `127.0.0.1:${socket.address().port}`
  t.teardown(() => socket.close())
  return server
}

function questionOf(query: Buffer) {
  const labels: string[] = []
  let at = 12
  for (let length = query[at]!; length > 0; length = query[at]!) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function answersTo(type: number, { a = [], srv = [], ttl = 1 }: Records): Buffer[] {
  if (type === A) return a.map((address) => answer(A, ttl, Buffer.from(address.split('.').map(Number))))
  if (type !== SRV) return []
  return srv.map(({ name, port, weight = 1, priority = 0 }) => {
    const numbers = Buffer.alloc(6)
    numbers.writeUInt16BE(priority, 0)
    numbers.writeUInt16BE(weight, 2)
    numbers.writeUInt16BE(port, 4)
    const labels = name
      .split('.')
      .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
    return answer(SRV, ttl, Buffer.concat([numbers, ...labels, Buffer.from([0])]))
  })
}

/** One record about the name of the question. */
function answer(type: number, ttl: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(ttl, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}
