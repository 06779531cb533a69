/** What a reader made of an answer. */
export type Verdict =
  | {
      readonly kind: 'accepted'
      readonly status: number
      /** As latin1. */
      readonly body: string
      /** Flat, names in lower case; undefined where the reader does not tell. */
      readonly headers: readonly string[] | undefined
      readonly trailers: readonly string[] | undefined
      /** Whether there was more than the answer. */
      readonly hasExcess: boolean
    }
  | { readonly kind: 'refused'; readonly reason: string }
  /** Not over yet, as far as the reader knows. */
  | { readonly kind: 'waiting' }

/** Every second of a flat list, in lower case. */
export const lowerNames = (flat: readonly string[]): string[] =>
  flat.map((text, index) => (index % 2 === 0 ? text.toLowerCase() : text))

/** The first thing in which two that accepted differ. */
export function difference(one: Verdict, other: Verdict): string | undefined {
  if (one.kind !== 'accepted' || other.kind !== 'accepted') return undefined
  if (one.status !== other.status) return `status ${one.status} and ${other.status}`
  if (one.body !== other.body) {
    return `bodies ${JSON.stringify(one.body.slice(0, 200))} (${one.body.length}) and ${JSON.stringify(other.body.slice(0, 200))} (${other.body.length})`
  }
  for (const part of ['headers', 'trailers'] as const) {
    const mine = one[part]
    const theirs = other[part]
    if (mine === undefined || theirs === undefined) continue
    if (JSON.stringify(mine) !== JSON.stringify(theirs))
      return `${part} ${JSON.stringify(mine)} and ${JSON.stringify(theirs)}`
  }
  return undefined
}
