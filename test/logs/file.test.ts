import { execFile } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { FileDelivery } from '../../services/logs/file/file.ts'
import type { Line } from '../../services/logs/line-queue.ts'
import { eventually } from '../support/own-process.ts'
import { parsed, quick, startLogging } from '../support/sinks.ts'
import { plainNode } from '../support/toll.ts'

const file = (more: object = {}) => ({ name: 'a', kind: 'file', path: 'logs/access.log', ...quick, ...more })

const lines = (...texts: string[]): Line[] => texts.map((text) => ({ text, bytes: text.length }))

t.test('the file is made where it is missing, readable for its group only, and appended to', async (t) => {
  const before = process.umask(0o022)
  t.teardown(() => process.umask(before))
  const { directory, request, drained, stop } = await startLogging(t, [file()])
  await request(3)
  await drained()
  const path = join(directory, 'logs/access.log')
  t.equal(statSync(path).mode & 0o777, 0o640)
  t.equal(statSync(join(directory, 'logs')).mode & 0o777, 0o750)
  chmodSync(path, 0o600)
  await request(2)
  await drained()
  await stop()
  t.equal(parsed(readFileSync(path, 'utf8')).length, 5)
  t.equal(statSync(path).mode & 0o777, 0o600, 'the mode of a file that is there stays')
})

t.test('a file that would grow too large is renamed, and so many are kept', async (t) => {
  const directory = t.testdir()
  const path = join(directory, 'a.log')
  const delivery = new FileDelivery({ path: 'a.log', maxSize: '20B', keep: 2 }, directory)
  for (const number of [1, 2, 3, 4, 5, 6, 7]) await delivery.deliver(lines(`line ${number}`))
  await delivery.close()
  t.same(readdirSync(directory).sort(), ['a.log', 'a.log.1', 'a.log.2'])
  t.equal(readFileSync(path, 'utf8'), 'line 7\n')
  t.equal(readFileSync(`${path}.1`, 'utf8'), 'line 5\nline 6\n')
  t.equal(readFileSync(`${path}.2`, 'utf8'), 'line 3\nline 4\n')
  // It goes on where it was.
  const again = new FileDelivery({ path: 'a.log', maxSize: '20B', keep: 2 }, directory)
  await again.deliver(lines('line 8'))
  await again.deliver(lines('line 9'))
  await again.close()
  t.equal(readFileSync(`${path}.1`, 'utf8'), 'line 7\nline 8\n')
})

t.test('several that write to one file and rotate it lose no line of each other', async (t) => {
  const directory = t.testdir()
  const deliveries = [1, 2, 3, 4].map(
    () => new FileDelivery({ path: 'a.log', maxSize: '60B', keep: 1000 }, directory)
  )
  await Promise.all(
    deliveries.map(async (delivery, who) => {
      for (let number = 0; number < 100; number += 1)
        await delivery.deliver(lines(`line ${number} of ${who}`))
      await delivery.close()
    })
  )
  const written = readdirSync(directory).flatMap((name) =>
    readFileSync(join(directory, name), 'utf8').trimEnd().split('\n')
  )
  t.equal(new Set(written).size, 400)
  t.equal(written.length, 400)
  t.ok(readdirSync(directory).length > 5)
})

t.test('the mark of one that was killed while it rotated keeps nobody from it for long', async (t) => {
  const directory = t.testdir()
  const mark = join(directory, 'a.log.rotating')
  const delivery = new FileDelivery({ path: 'a.log', maxSize: '20B', keep: 2 }, directory)
  writeFileSync(mark, '')
  for (const number of [1, 2, 3]) await delivery.deliver(lines(`line ${number}`))
  t.equal(readFileSync(join(directory, 'a.log'), 'utf8'), 'line 1\nline 2\nline 3\n', 'somebody may be at it')
  utimesSync(mark, 0, 0)
  for (const number of [4, 5]) await delivery.deliver(lines(`line ${number}`))
  await delivery.close()
  t.same(readdirSync(directory).sort(), ['a.log', 'a.log.1'])
  t.equal(readFileSync(join(directory, 'a.log'), 'utf8'), 'line 5\n')
})

t.test('a file that others rotate is opened anew, without a signal', async (t) => {
  const { directory, request, drained } = await startLogging(t, [file({ path: 'a.log' })])
  const path = join(directory, 'a.log')
  await request(4)
  await drained()
  renameSync(path, `${path}.old`)
  await request(3)
  await drained()
  t.equal(parsed(readFileSync(`${path}.old`, 'utf8')).length, 4)
  t.equal(parsed(readFileSync(path, 'utf8')).length, 3)
  truncateSync(path, 0)
  await request(2)
  await drained()
  t.equal(parsed(readFileSync(path, 'utf8')).length, 2, 'copied away and cut to nothing')
  rmSync(path)
  await request(1)
  t.match(await drained(), { sent: 10, dropped: 0, failed: 0 })
  t.equal(parsed(readFileSync(path, 'utf8')).length, 1)
})

t.test('while the disk is full lines wait, and are written once it is not', async (t) => {
  const { directory, request, shown, drained, metric, log } = await startLogging(t, [
    file({ path: 'a.log', queue: { maxBytes: '16KiB' }, batch: { linger: '20ms', maxBytes: '4KiB' } })
  ])
  const path = join(directory, 'a.log')
  symlinkSync('/dev/full', path)
  await request(200)
  await eventually('it is down', async () => (await shown()).state === 'down')
  const down = await shown()
  t.match(down, { sent: 0, lastError: { why: 'the disk is full' } })
  t.ok(down.queuedBytes <= 16 * 1024 && down.queued > 20)
  t.equal(down.queued + down.dropped, 200)
  t.equal(await metric('tollkeeper_log_sink_up{sink="a"}'), 0)
  t.equal(await metric('tollkeeper_log_queue_bytes{sink="a"}'), down.queuedBytes)
  rmSync(path)
  const after = await drained()
  t.equal(after.state, 'up')
  t.equal(after.sent + after.dropped, 200)
  const ids = parsed(readFileSync(path, 'utf8')).map(({ requestId }) => requestId)
  t.equal(ids.length, after.sent)
  t.equal(new Set(ids).size, ids.length, 'none twice')
  t.equal(await metric('tollkeeper_log_sink_up{sink="a"}'), 1)
  t.match(
    log().filter(({ msg }) => String(msg).startsWith('a log sink')),
    [{ level: 'warn', sink: 'a', why: 'the disk is full' }, { level: 'info' }]
  )
})

t.test('a path that cannot be written to is tried until it can', async (t) => {
  const { directory, request, shown, drained } = await startLogging(t, [file({ path: 'a.log' })])
  const path = join(directory, 'a.log')
  mkdirSync(path)
  await request(2)
  await eventually('it is down', async () => (await shown()).state === 'down')
  t.match(await shown(), { queued: 2, lastError: { why: 'a directory is in the way' } })
  rmSync(path, { recursive: true })
  await drained()
  t.equal(parsed(readFileSync(path, 'utf8')).length, 2)
})

t.test('a batch that fits only in part leaves nothing of itself behind', async (t) => {
  const directory = t.testdir()
  const code = `
    import { FileDelivery } from ${JSON.stringify(new URL('../../services/logs/file/file.js', import.meta.url).href)}
    const delivery = new FileDelivery({ path: 'a.log', maxSize: '0B', keep: 1 }, ${JSON.stringify(directory)})
    const line = (text) => ({ text, bytes: text.length })
    await delivery.deliver([line('first')])
    await delivery.deliver([line('x'.repeat(700)), line('y'.repeat(700))]).catch(({ code }) => console.log(code))
    await delivery.deliver([line('last')])
  `
  // Files of a kilobyte at most; without the trap the process would be killed for a longer one.
  const limited = `trap '' XFSZ; ulimit -f 1; exec "$@"`
  const args = ['-c', limited, 'bash', ...plainNode, '--input-type=module', '-e', code]
  const { stdout } = await promisify(execFile)('bash', args)
  t.equal(stdout, 'EFBIG\n')
  t.equal(readFileSync(join(directory, 'a.log'), 'utf8'), 'first\nlast\n')
})
