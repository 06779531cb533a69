import { BadRequest, PreconditionFailed, PreconditionRequired } from '../../errors.ts'

/** What If-Match says (RFC 9110 13.1.1): which config a change is meant for. */
export interface Precondition {
  /** `*`: whatever is there. */
  readonly isAny: boolean
  /** Throws where this entity tag is not among those named. A weak tag names nothing here. */
  readonly expect: (entityTag: string) => void
}

/** Reads the header; undefined without it. */
export function preconditionIn(header: string | undefined): Precondition | undefined {
  if (header === undefined) return undefined
  if (header.trim() === '*') return { isAny: true, expect: () => {} }
  const tags = header.split(',').map((tag) => tag.trim())
  if (!tags.every((tag) => /^(?:W\/)?"[\x21\x23-\x7e]*"$/.test(tag))) {
    throw BadRequest(['"If-Match" holds the ETag of GET /admin/config, quotes included, or *.'], {
      reason: 'if_match'
    })
  }
  return {
    isAny: false,
    expect: (entityTag) => {
      if (tags.includes(entityTag)) return
      throw PreconditionFailed(
        ['The config is another one by now: read it again, and see whether the change is still right.'],
        { reason: 'if_match' }
      )
    }
  }
}

/** The same where nothing goes without it. */
export function preconditionOf(header: string | undefined): Precondition {
  const precondition = preconditionIn(header)
  if (precondition !== undefined) return precondition
  throw PreconditionRequired(
    ['Send "If-Match" with the ETag of GET /admin/config, so that nobody else\'s change is lost.'],
    { reason: 'if_match' }
  )
}
