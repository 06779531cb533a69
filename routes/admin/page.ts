import { BadRequest } from '../../errors.ts'

const maxPage = 1000

/** What the calls that read these say of them. */
export const paged = {
  query: {
    limit: `How many at most: 100 unless said, up to ${maxPage}.`,
    offset: 'How many to leave out first.'
  }
} as const

/** Which part of a list is asked for: `limit` entries (100 unless said) from `offset` on. */
export function pageOf({ limit, offset }: Readonly<Record<string, unknown>>): {
  limit: number
  offset: number
} {
  return { limit: whole('limit', limit, 100, maxPage), offset: whole('offset', offset, 0, 1e9) }
}

function whole(name: string, text: unknown, fallback: number, max: number): number {
  if (text === undefined) return fallback
  const value = typeof text === 'string' && /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (value <= max) return value
  throw BadRequest([`"${name}" has to be a number up to ${max}.`], { reason: 'query' })
}
