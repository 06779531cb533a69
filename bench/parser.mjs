/**
 * What reading one answer costs, in nanoseconds: `npm run --silent build && node bench/parser.mjs`. Another build's parser can be measured beside
 * it: `node bench/parser.mjs ../other/build/services/transport/answer-parser.js`.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const own = resolve(import.meta.dirname, '../build/services/transport/answer-parser.js')
const paths = [own, ...process.argv.slice(2).map((path) => resolve(path))]

const head =
  'HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nCache-Control: no-store\r\nETag: "33a64df551425fcc"\r\n' +
  'Date: Tue, 15 Nov 1994 08:12:31 GMT\r\nConnection: keep-alive\r\n'
const json = JSON.stringify({ item: 'x'.repeat(117) })
const mebibyte = Buffer.from(`${head}Content-Length: ${1024 * 1024}\r\n\r\n${'x'.repeat(1024 * 1024)}`)
const reads = []
for (let at = 0; at < mebibyte.length; at += 65_536) reads.push(mebibyte.subarray(at, at + 65_536))

const answers = {
  '128 bytes of JSON, 6 headers': [Buffer.from(`${head}Content-Length: ${json.length}\r\n\r\n${json}`)],
  'the same, chunked': [
    Buffer.from(
      `${head}Transfer-Encoding: chunked\r\n\r\n${json.length.toString(16)}\r\n${json}\r\n0\r\n\r\n`
    )
  ],
  'the same in two reads': [Buffer.from(`${head}Content-Length: ${json.length}\r\n\r\n`), Buffer.from(json)],
  '1 MiB in reads of 64 KiB': reads
}

/** Reads as a connection does: into one buffer, again and again. Parsers without `head` want a copy of their own. */
function pass(parser, shared, pieces) {
  parser.begin('GET')
  for (const piece of pieces) {
    shared.set(piece)
    if (parser.head === undefined) parser.execute(Buffer.from(shared.subarray(0, piece.length)))
    else parser.execute(shared, piece.length)
  }
}

for (const path of paths) {
  const { AnswerParser } = await import(pathToFileURL(path).href)
  console.log(path)
  for (const [name, pieces] of Object.entries(answers)) {
    let ends = 0
    const end = () => {
      ends += 1
    }
    const parser = new AnswerParser({ onWhole: end, onHead() {}, onBody() {}, onEnd: end })
    // One byte larger than any read, so that none fills it.
    const shared = Buffer.allocUnsafeSlow(65_537)
    const size = pieces.reduce((sum, piece) => sum + piece.length, 0)
    const count = Math.ceil(2e8 / (size + 1000))
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < 6; round += 1) {
      const started = process.hrtime.bigint()
      for (let index = 0; index < count; index += 1) pass(parser, shared, pieces)
      best = Math.min(best, Number(process.hrtime.bigint() - started) / count)
    }
    if (ends !== count * 6) throw new Error(`${name}: ${ends} of ${count * 6} answers came to their end`)
    console.log(`  ${name.padEnd(30)} ${best.toFixed(0).padStart(8)} ns`)
  }
}
