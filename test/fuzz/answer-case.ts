/** What a node answers to one request, byte by byte. */
export interface AnswerCase {
  readonly method: 'GET' | 'HEAD'
  /** As latin1. */
  readonly bytes: string
  /** Whether the node closes the connection behind it, or says nothing more. */
  readonly isClosed: boolean
}

/** How a case is printed, so that `npm run fuzz -- --case '...'` repeats it. */
export const printed = (one: AnswerCase): string =>
  JSON.stringify(one).replace(
    /[\u007f-\uffff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  )

/** Words that stand in bytes which belong to no answer. Whoever reads them in a body has taken them for one. */
export const poison = 'poisoned-by-an-earlier-answer'
