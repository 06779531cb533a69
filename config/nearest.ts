import { distance } from 'fastest-levenshtein'

/** The known name that was probably meant, or undefined when none is near. Case, `-` and `_` do not count. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const wanted = plain(name)
  let best: string | undefined
  let least = (wanted.length < 4 ? 1 : Math.max(2, Math.floor(wanted.length * 0.4))) + 0.5
  for (const candidate of known) {
    const other = plain(candidate)
    // "rateLimit" for "limit": one name in the other is nearer than the letters say.
    const isPart =
      Math.min(wanted.length, other.length) >= 3 && (other.includes(wanted) || wanted.includes(other))
    const away = Math.min(slips(wanted, other), isPart ? 1.4 : Number.POSITIVE_INFINITY)
    if (away < least) {
      best = candidate
      least = away
    }
  }
  return best
}

/** Do two names differ by no more than one letter? */
export const isOneSlip = (one: string, other: string): boolean => slips(plain(one), plain(other)) <= 1

const plain = (name: string): string => name.toLowerCase().replaceAll(/[-_\s]/g, '')

/** Letters in the wrong order ("auht") are one slip, not two. */
const slips = (one: string, other: string): number =>
  one !== other && sorted(one) === sorted(other) ? 1 : distance(one, other)

const sorted = (word: string): string => [...word].sort().join('')
