import { flat } from '../flat.ts'
import type { Rate } from './bucket.ts'
import type { Quota } from './window.ts'

/** What is kept where the holder of a key is, so that the place of its bucket is not put together, and found by its letters, each time. */
export interface PlaceNotes {
  /** What the holder's requests are counted by, where that is who asks. */
  readonly key: string
  /** Where that is counted, for the numbers that were asked about last: a route has few limits, mostly one. */
  place: string
  placeBy: Rate | Quota | undefined
}

/** Where one key of a limit is counted, in the store and here. Of another kind, another place: what one counts in is no sense to the other. */
export function placeOf(id: string, counted: Rate | Quota, key: string, notes?: PlaceNotes): string {
  if (notes === undefined || notes.key !== key) return placed(id, counted, key)
  if (notes.placeBy !== counted) {
    notes.place = flat(placed(id, counted, key))
    notes.placeBy = counted
  }
  return notes.place
}

const placed = (id: string, { kind }: Rate | Quota, key: string): string =>
  kind === 'rate' ? `toll:limit:${id}:${key}` : `toll:quota:${id}:${key}`
