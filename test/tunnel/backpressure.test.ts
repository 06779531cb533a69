import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import t from 'tap'
import { type End, frame, noise, tunnelService } from '../support/frames.ts'
import { eventually, growthDuring, type OwnProcess, scaled, startOwnProcess } from '../support/own-process.ts'
import { configFor } from '../support/upstream.ts'

/** Pushed into a tunnel whose other side does not read, or reads slowly. TOLL_LOAD=4 makes it a gigabyte. */
const size = scaled(256) * 2 ** 20

/** Megabytes (2^20) that may be held for a side that does not read; what the machine holds between the processes is not among them. */
const mostHeld = 16

/** The same while everything flows. Node.js looks for buffers that nobody needs once it has 32 MiB of them, from 22 or so on 64 MiB. */
const mostFlowing = 128

/** Frames of a mebibyte, so that headers and payloads are cut anywhere. */
const block = Buffer.concat([frame(2, noise(2 ** 20 - 10)), frame(9, 'ping')])
const count = Math.ceil(size / block.length)

const digest = () => createHash('sha1')
const wanted = (() => {
  const hash = digest()
  for (let index = 0; index < count; index += 1) hash.update(block)
  return hash.digest('hex')
})()

/** Writes all blocks as fast as they are taken. */
async function push(socket: Socket): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    if (!socket.write(block)) await new Promise((resolve) => socket.once('drain', resolve))
  }
}

/** Reads everything with pauses; resolves with the hash of it. */
function readSlowly(socket: Socket): Promise<string> {
  const hash = digest()
  let left = count * block.length
  let sincePause = 0
  return new Promise((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      hash.update(chunk)
      left -= chunk.length
      sincePause += chunk.length
      if (left === 0) resolve(hash.digest('hex'))
      if (sincePause < 4 * 2 ** 20) return
      sincePause = 0
      socket.pause()
      setTimeout(() => socket.resume(), 10)
    })
    socket.resume()
  })
}

/** What the one side has handed to its own machine. */
const written = ({ socket }: End): number => socket.bytesWritten - socket.writableLength

async function holds(
  gateway: OwnProcess,
  from: End,
  to: End,
  isStill: (size: number) => boolean
): Promise<{ held: number; growth: number }> {
  to.socket.removeAllListeners('data')
  to.socket.pause()
  const before = await gateway.memory()
  const pushing = push(from.socket)
  let held = Number.NaN
  const growth = await growthDuring(
    gateway,
    before,
    (async () => {
      // Nobody reads: the flow has to come to a standstill.
      let last = -1
      let still = 0
      await eventually('the flow stops', async () => {
        await new Promise((resolve) => setTimeout(resolve, 50))
        still = written(from) === last ? still + 1 : 0
        last = written(from)
        return still >= 6
      })
      held = (await gateway.memory()) - before
      if (!isStill(last)) throw new Error(`${last} bytes were taken although nobody reads`)
      const came = await readSlowly(to.socket)
      await pushing
      if (came !== wanted) throw new Error('other bytes came than were sent')
    })()
  )
  return { held, growth }
}

for (const [name, towards] of [
  ['a client that does not read', 'client'],
  ['a service that does not read', 'service']
] as const) {
  t.test(`${name} holds the other side up, not the memory, and gets every byte in the end`, async (t) => {
    const up = await tunnelService(t)
    const gateway = await startOwnProcess(t, configFor([up.url]))
    const ends = await up.open(gateway.origin)
    const other = towards === 'client' ? ends.service : ends.client
    const { held, growth } = await holds(gateway, other, ends[towards], (taken) => taken < size / 8)
    t.ok(held < mostHeld, `${held.toFixed(1)} MiB held while nobody reads`)
    t.ok(growth < mostFlowing, `${growth.toFixed(1)} MiB more for ${size / 2 ** 20} MiB`)
    // The other direction was never in the way.
    ends[towards].socket.write('word')
    await other.got(4)
    ends.client.socket.destroy()
    ends.service.socket.destroy()
  })
}

t.test('one slow reader slows no other WebSocket', async (t) => {
  const up = await tunnelService(t)
  const gateway = await startOwnProcess(t, configFor([up.url]))
  const slow = await Promise.all(Array.from({ length: 20 }, () => up.open(gateway.origin)))
  for (const { client, service } of slow) {
    client.socket.pause()
    service.socket.write(Buffer.concat(Array.from({ length: 8 }, () => block)))
  }
  const { client, service } = await up.open(gateway.origin)
  for (let round = 1; round <= 100; round += 1) {
    client.socket.write('question')
    await service.got(round * 8)
    service.socket.write('answer')
    await client.got(round * 6)
  }
  t.equal(client.size, 600)
  for (const ends of slow) ends.client.socket.destroy()
})
