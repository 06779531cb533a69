import t from 'tap'
import { AnswerParser } from '../../services/transport/answer-parser.ts'
import { readInPieces } from '../fuzz/own-reader.ts'

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** A parser that takes no notice, and the events it had to tell. */
function listening() {
  const events: string[] = []
  const parser = new AnswerParser({
    onWhole: (status, _, __, body) => events.push(`whole ${status} ${body}`),
    onHead: (status) => events.push(`head ${status}`),
    onBody: (chunk) => events.push(`body ${chunk.toString('latin1')}`),
    onEnd: (trailers) => events.push(`end ${trailers.join()}`)
  })
  parser.begin('GET')
  return { parser, events }
}

t.test('an answer that came in one piece is told in one piece, however it is framed', async (t) => {
  const answers = {
    [ok]: 'whole 200 ok',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n': 'whole 200 ok',
    'HTTP/1.1 204 No Content\r\n\r\n': 'whole 204 ',
    [`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok}`]: 'whole 200 ok'
  }
  for (const [answer, event] of Object.entries(answers)) {
    const { parser, events } = listening()
    parser.execute(Buffer.from(answer))
    t.same(events, [event], answer)
    t.equal(parser.isReusable, true)
  }
})

t.test('what is handed on out of a shared buffer is a copy', async (t) => {
  const chunks: Buffer[] = []
  const parser = new AnswerParser({
    onWhole() {},
    onHead() {},
    onBody: (chunk) => chunks.push(chunk),
    onEnd() {}
  })
  parser.begin('GET')
  const shared = Buffer.alloc(1000)
  const size = shared.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc', 'latin1')
  parser.execute(shared, size)
  shared.fill('!')
  t.equal(chunks[0]!.toString('latin1'), 'abc')
})

t.test(
  'a connection whose read was full to the last byte is not used again: more may be behind the answer',
  async (t) => {
    const full = listening()
    const bytes = Buffer.from(ok)
    full.parser.execute(bytes, bytes.length)
    t.equal(full.parser.isReusable, false)
    const roomy = listening()
    roomy.parser.execute(Buffer.from(`${ok}?`), bytes.length)
    t.equal(roomy.parser.isReusable, true)
  }
)

t.test('limits are the same however the bytes are cut', async (t) => {
  const head = (size: number): string => {
    const frame = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \r\n\r\n'
    return frame.replace('X: ', `X: ${'x'.repeat(size - frame.length)}`)
  }
  const cuts = [[], [1], [20, 40, 60_000], [65_530, 65_533], [65_535, 65_536]]
  for (const at of cuts) {
    const read = (bytes: string) => readInPieces({ method: 'GET', bytes, isClosed: false }, at, true)
    t.equal(read(head(65_536)).kind, 'accepted', `cut at ${at.join()}`)
    t.match(read(head(65_537)), { kind: 'refused' }, `cut at ${at.join()}`)
  }
})

t.test('the head tells what its fields mean, so that nobody has to look again', async (t) => {
  const { parser } = listening()
  parser.execute(
    Buffer.from(
      'HTTP/1.1 200 OK\r\nCONTENT-TYPE: text/event-stream; charset=utf-8\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: max=5, timeout=9\r\n' +
        'X-Hop: 1\r\nSet-Cookie: a=1\r\nLocation: /\r\ncontent-length: 0\r\n\r\n'
    )
  )
  const { head } = parser
  t.match(head, { keepAlive: 9, length: 0, isChunked: false, isPersistent: true })
  parser.begin('GET')
  parser.execute(Buffer.from('HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\ncontent-length: 0\r\n\r\n'))
  t.match(head, { keepAlive: -1, length: 0, isPersistent: false })
})

t.test('a tab behind what frames the body is in doubt', async (t) => {
  for (const framing of ['Content-Length: 2\t', 'Content-Length: 2 \t ', 'Transfer-Encoding: chunked\t']) {
    const { parser } = listening()
    const bytes = `HTTP/1.1 200 OK\r\n${framing}\r\n\r\nok`
    t.throws(() => parser.execute(Buffer.from(bytes)), { code: /content_length|transfer_encoding/ }, framing)
  }
})

t.test('fields have the names they came with, however alike these look', async (t) => {
  // Alike in length, first, middle and last letter; and in all but their case.
  const names = ['x-ab-cz', 'x-cb-az', 'xb-b-dz', 'X-AB-CZ', 'x-ab-cZ', `x${'a'.repeat(70)}z`]
  const read = (name: string): string | undefined => {
    let found: string | undefined
    const parser = new AnswerParser({
      onWhole: (_, __, headers) => {
        found = headers[0]
      },
      onHead() {},
      onBody() {},
      onEnd() {}
    })
    parser.begin('GET')
    parser.execute(Buffer.from(`HTTP/1.1 200 OK\r\n${name}: 1\r\nContent-Length: 0\r\n\r\n`))
    return found
  }
  for (const name of [...names, ...names.toReversed(), ...names]) t.equal(read(name), name)
})
