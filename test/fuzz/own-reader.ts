import { BrokenAnswer } from '../../services/transport/answer-head.ts'
import { AnswerParser } from '../../services/transport/answer-parser.ts'
import type { AnswerCase } from './answer-case.ts'
import type { Random } from './random.ts'
import { difference, lowerNames, type Verdict } from './verdict.ts'

/** What the gateway's parser makes of an answer that arrives in these pieces. */
export function readInPieces(
  { method, bytes, isClosed }: AnswerCase,
  cuts: readonly number[],
  isShared: boolean
): Verdict {
  const input = Buffer.from(bytes, 'latin1')
  const shared = Buffer.alloc(input.length + 1)
  let status = 0
  let headers: string[] = []
  let body = ''
  let chunks: Buffer[] = []
  let trailers: string[] | undefined
  const parser = new AnswerParser({
    onWhole: (...[code, , fields, text]) => {
      status = code
      headers = fields
      body = text
      trailers = []
    },
    onHead: (code, _, fields) => {
      status = code
      headers = fields
    },
    onBody: (chunk) => chunks.push(chunk),
    onEnd: (fields) => {
      trailers = fields
    }
  })
  const accepted = (hasExcess: boolean): Verdict => ({
    kind: 'accepted',
    status,
    body: body + Buffer.concat(chunks).toString('latin1'),
    headers: lowerNames(headers),
    trailers: lowerNames(trailers!),
    hasExcess
  })
  parser.begin(method)
  let at = 0
  try {
    for (const end of [...cuts, input.length]) {
      const piece = input.subarray(at, end)
      if (piece.length === 0) continue
      // A connection that cannot be used again is dropped at the end of its answer.
      if (trailers !== undefined && !parser.isReusable) return accepted(true)
      if (isShared) {
        shared.fill(0)
        shared.set(piece)
        parser.execute(shared, piece.length)
        shared.fill('!')
      } else parser.execute(Buffer.from(piece))
      at = end
    }
    if (isClosed) parser.finish()
    return trailers === undefined ? { kind: 'waiting' } : accepted(false)
  } catch (error) {
    if (!(error instanceof BrokenAnswer)) throw error
    if (trailers !== undefined && error.code === 'unsolicited') return accepted(true)
    return { kind: 'refused', reason: error.code }
  } finally {
    chunks = []
  }
}

/** Ways to cut `size` bytes: not at all, everywhere, and at random. */
export function cutsOf(random: Random, size: number): number[][] {
  const everywhere = Array.from({ length: Math.max(0, size - 1) }, (_, index) => index + 1)
  const some = (): number[] => random.some(6, () => random.below(size + 1)).sort((a, b) => a - b)
  // Byte by byte is slow where there are many of them, and they are all alike.
  return [
    [],
    size > 5000 ? everywhere.filter((at) => at < 600 || at > size - 200) : everywhere,
    some(),
    some()
  ]
}

/** The verdict on an answer that came in one piece, and how verdicts on other ways to cut it differ from that. */
export function readOwn(
  random: Random,
  one: AnswerCase
): { verdict: Verdict; complaint: string | undefined } {
  let verdict = readInPieces(one, [], true)
  for (const cuts of cutsOf(random, one.bytes.length)) {
    for (const isShared of [true, false]) {
      const other = readInPieces(one, cuts, isShared)
      const differs = isSame(verdict, other)
        ? difference(verdict, other)
        : `${said(verdict)} and ${said(other)}`
      if (differs !== undefined)
        return { verdict, complaint: `cut at ${cuts.slice(0, 20).join()}: ${differs}` }
      // What came with the answer to HEAD is left unread without a word.
      if (verdict.kind === 'accepted' && other.kind === 'accepted' && other.hasExcess) verdict = other
    }
  }
  return { verdict, complaint: undefined }
}

/**
 * Bytes behind an answer refuse it when they came with it, and end the connection when they came later. What is wrong with a line that
 * has no end yet may be seen at its end only.
 */
const isSame = (whole: Verdict, cut: Verdict): boolean =>
  (whole.kind === 'accepted') === (cut.kind === 'accepted') ||
  (whole.kind === 'refused' && whole.reason === 'excess' && cut.kind === 'accepted' && cut.hasExcess)

export const said = (verdict: Verdict): string =>
  verdict.kind === 'refused' ? `refused (${verdict.reason})` : verdict.kind
