import { PassThrough } from 'node:stream'
import t from 'tap'
import { LineWriter } from '../../services/telemetry/line-writer.ts'

t.test('lines come out in order and to the byte, however long and in whatever script', async (t) => {
  const out = new PassThrough({ highWaterMark: 2 ** 24 })
  const writer = new LineWriter(out, { interval: 60_000 })
  const lines = Array.from(
    { length: 2000 },
    (_, index) => `${index} ${'caf\u00e9 \u65e5\u672c \u{1f511} '.repeat(index % 40)}`
  )
  // Longer than all that is gathered: in bytes, in characters, and between others.
  lines.splice(700, 0, '\u65e5'.repeat(30_000), 'x'.repeat(70_000), '')
  for (const line of lines) writer.write(line)
  writer.close()
  t.equal(String(out.read()), `${lines.join('\n')}\n`)
  t.equal(writer.dropped, 0)
})

t.test(
  'few lines wait for no more than the interval; whoever does not read loses lines, and keeps nobody waiting',
  async (t) => {
    const out = new PassThrough({ highWaterMark: 1 })
    const writer = new LineWriter(out, { interval: 5, maxBuffered: 100 })
    t.teardown(() => writer.close())
    writer.write('one')
    for (let look = 0; look < 200 && out.readableLength === 0; look += 1)
      await new Promise((done) => setTimeout(done, 5))
    t.equal(String(out.read()), 'one\n')
    for (let index = 0; index < 10; index += 1) {
      writer.write('x'.repeat(90))
      writer.flush()
    }
    t.ok(writer.dropped > 5, `${writer.dropped} were lost`)
  }
)
