import type { AnswerCase } from './answer-case.ts'
import type { Oracle } from './oracles.ts'
import type { Verdict } from './verdict.ts'

/** A way in which an oracle reads an answer otherwise than we do, and why that is right. */
export interface KnownDifference {
  readonly name: string
  readonly reason: string
  applies(one: AnswerCase, oracle: Oracle['name'], theirs: Verdict): boolean
}

/** Where we accept what an oracle refuses, or make something else of what both accept. Where we are stricter nothing has to be justified. */
export const knownDifferences: readonly KnownDifference[] = [
  {
    name: '100 that nobody asked for',
    reason:
      'RFC 9110 15.2: a client has to be able to read interim answers it did not expect. undici ends the connection at 100.',
    applies: ({ bytes }, oracle, theirs) =>
      oracle === 'undici' &&
      theirs.kind === 'refused' &&
      theirs.reason === 'UND_ERR_SOCKET' &&
      /^HTTP\/1\.[01] 100/m.test(bytes)
  },
  {
    name: '304 with a Content-Length',
    reason:
      'RFC 9110 8.6: it is the length that 200 would have had, and no body follows. undici misses the body.',
    applies: ({ bytes }, oracle, theirs) =>
      oracle === 'undici' &&
      theirs.kind === 'refused' &&
      theirs.reason === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' &&
      /^HTTP\/1\.[01] 304/m.test(bytes)
  }
]
