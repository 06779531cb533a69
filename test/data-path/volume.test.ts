import { createHash } from 'node:crypto'
import { request as ask, type IncomingMessage } from 'node:http'
import type { Readable, Writable } from 'node:stream'
import t, { type Test } from 'tap'
import { growthDuring, type OwnProcess, scaled, startOwnProcess } from '../support/own-process.ts'
import { configFor, httpUpstream } from '../support/upstream.ts'

/** What goes up and what goes down. TOLL_LOAD=8 makes it 2 GiB each. */
const size = scaled(256) * 2 ** 20
/** Where one side is slow, a quarter of it. */
const slowSize = size / 4
/** MiB that the gateway's memory may grow, whatever passes. */
const most = 64

const block = Buffer.from(Array.from({ length: 2 ** 20 }, (_, index) => (index * 31 + (index >> 8)) & 0xff))

/** Writes so many bytes as fast as they are taken, or with pauses. */
async function writeAll(to: Writable, bytes: number, isSlow: boolean): Promise<void> {
  const piece = isSlow ? block.subarray(0, 200_000) : block
  for (let left = bytes, at = 0; left > 0; at += 1) {
    const next = piece.subarray(0, Math.min(piece.length, left))
    left -= next.length
    if (!to.write(next)) await new Promise((resolve) => to.once('drain', resolve))
    if (isSlow && at % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  to.end()
}

/** Reads to the end, without haste where it is slow; resolves with how much came and its hash. */
async function readAll(from: Readable, isSlow: boolean): Promise<string> {
  const hash = createHash('sha1')
  let sum = 0
  let sincePause = 0
  for await (const chunk of from as AsyncIterable<Buffer>) {
    hash.update(chunk)
    sum += chunk.length
    sincePause += chunk.length
    if (!isSlow || sincePause < 2 * 2 ** 20) continue
    sincePause = 0
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return `${sum} ${hash.digest('hex')}`
}

function hashOf(bytes: number, isSlow: boolean): string {
  const hash = createHash('sha1')
  const piece = isSlow ? block.subarray(0, 200_000) : block
  for (let left = bytes; left > 0; left -= piece.length)
    hash.update(piece.subarray(0, Math.min(piece.length, left)))
  return `${bytes} ${hash.digest('hex')}`
}

/** Sends a request through the gateway; `body` writes what there is to write. */
const answerOf = (
  origin: string,
  path: string,
  headers: Record<string, string>,
  body?: (to: Writable) => unknown
) =>
  new Promise<IncomingMessage>((resolve, reject) => {
    const request = ask(`${origin}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers,
      agent: false
    })
    request.on('error', reject)
    request.on('response', resolve)
    if (body === undefined) request.end()
    else body(request)
  })

const framing = (isChunked: boolean, bytes: number): Record<string, string> =>
  isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(bytes) }

async function startBoth(t: Test): Promise<OwnProcess> {
  const up = await httpUpstream(t, (request, response) => {
    const { searchParams } = new URL(request.url!, 'http://x')
    const [bytes, isSlow] = [Number(searchParams.get('bytes')), searchParams.has('slow')]
    if (request.method === 'GET') {
      response.writeHead(200, framing(searchParams.has('chunked'), bytes))
      void writeAll(response, bytes, isSlow)
    } else void readAll(request, isSlow).then((seen) => response.end(seen))
  })
  const gateway = await startOwnProcess(t, configFor([up.url], { route: { maxBody: '9GiB' } }))
  // What the process needs once, it should have by now.
  for (let round = 0; round < 2; round += 1) {
    await readAll(await answerOf(gateway.origin, `/?bytes=${8 * 2 ** 20}`, {}), false)
    await readAll(await answerOf(gateway.origin, '/', {}, (to) => writeAll(to, 8 * 2 ** 20, false)), false)
  }
  return gateway
}

const kinds = [
  { name: 'with a length', isChunked: false, reader: false, writer: false },
  { name: 'in chunks', isChunked: true, reader: false, writer: false },
  { name: 'with a length, to a slow reader', isChunked: false, reader: true, writer: false },
  { name: 'in chunks, from a slow writer', isChunked: true, reader: false, writer: true }
]

t.test('what goes down arrives whole and stays out of the memory', async (t) => {
  const gateway = await startBoth(t)
  for (const { name, isChunked, reader, writer } of kinds) {
    const bytes = reader || writer ? slowSize : size
    const path = `/?bytes=${bytes}${isChunked ? '&chunked' : ''}${writer ? '&slow' : ''}`
    const before = await gateway.memory()
    const reading = answerOf(gateway.origin, path, {}).then((answer) => readAll(answer, reader))
    const growth = await growthDuring(gateway, before, reading)
    t.equal(await reading, hashOf(bytes, writer), name)
    t.ok(growth < most, `${name}: ${growth.toFixed(1)} MiB more`)
  }
})

t.test('what goes up arrives whole and stays out of the memory', async (t) => {
  const gateway = await startBoth(t)
  for (const { name, isChunked, reader, writer } of kinds) {
    const bytes = reader || writer ? slowSize : size
    const before = await gateway.memory()
    const reading = answerOf(
      gateway.origin,
      reader ? '/?slow' : '/',
      framing(isChunked, bytes),
      (to) => void writeAll(to, bytes, writer)
    ).then(async (answer) => String(Buffer.concat(await answer.toArray())))
    const growth = await growthDuring(gateway, before, reading)
    t.equal(await reading, hashOf(bytes, writer), name)
    t.ok(growth < most, `${name}: ${growth.toFixed(1)} MiB more`)
  }
})
