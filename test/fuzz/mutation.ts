import type { AnswerCase } from './answer-case.ts'
import type { Random } from './random.ts'

/** Bytes that mean something to a reader, or to the one next to it. */
const marks = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '0',
  '1',
  'a',
  '-',
  '+',
  '\u007f',
  '\u0080',
  '\u00ff',
  '\u000b',
  'chunked',
  'Content-Length: 1\r\n',
  'Transfer-Encoding: chunked\r\n',
  '\r\n\r\n',
  '0\r\n\r\n'
]

/** A recorded answer with a few bytes changed, lost, doubled, moved or put in. */
export function mutated(random: Random, { method, bytes, isClosed }: AnswerCase): AnswerCase {
  let changed = bytes
  const headEnd = Math.max(1, bytes.indexOf('\r\n\r\n') + 4)
  for (let count = 1 + random.below(4); count > 0; count -= 1) {
    // Where framing is said, mostly.
    const at = random.below(random.chance(0.7) ? Math.min(headEnd, changed.length + 1) : changed.length + 1)
    const size = random.pick([1, 1, 2, 8, 40])
    const before = changed.slice(0, at)
    const piece = changed.slice(at, at + size)
    const after = changed.slice(at + size)
    changed = random.pick([
      () => before + random.pick(marks) + piece + after,
      () => before + random.pick(marks) + after,
      () => before + after,
      () => before + piece + piece + after,
      () => before + String.fromCharCode(random.below(256)) + piece.slice(1) + after,
      () => before + piece.toUpperCase() + after,
      () => after + before + piece,
      () => withLine(random, changed)
    ])()
  }
  return {
    method: random.chance(0.05) ? 'HEAD' : method,
    bytes: changed,
    isClosed: random.chance(0.3) ? !isClosed : isClosed
  }
}

/** Takes a line of the head away, doubles it or moves it. */
function withLine(random: Random, bytes: string): string {
  const end = bytes.indexOf('\r\n\r\n')
  const lines = bytes.slice(0, Math.max(0, end)).split('\r\n')
  const [line] = lines.splice(random.below(lines.length), 1)
  for (let count = random.below(3); count > 0; count -= 1)
    lines.splice(random.below(lines.length + 1), 0, line!)
  return lines.join('\r\n') + bytes.slice(Math.max(0, end))
}
