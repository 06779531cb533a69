/** Who decided about a request: the store, this process because the store was away, or what the config says of that case. */
export type DecidedBy = 'store' | 'local' | 'open' | 'closed'

/** A place that a request holds. */
export interface Hold {
  readonly isHeld: true
  readonly by: DecidedBy
  /** Gives it back, without waiting for the store; a second time does nothing. */
  release(): void
}

/** All places are taken, or (by `closed`) nobody knows. */
export interface Refused {
  readonly isHeld: false
  readonly by: DecidedBy
}

/** What happens to a request while the store is away: this process counts alone, or lets it through, or refuses it. */
export type OnStoreError = 'local' | 'open' | 'closed'

/** A request that waits for the store's word. */
export interface Waiting {
  readonly onStoreError: OnStoreError
  readonly decide: (decision: Hold | Refused) => void
}

/** What this process knows of one key. Kept while it holds a place, waits for one, or the store still counts one for it. */
export interface KeyHolds {
  readonly key: string
  /** The limit as of the last request: a reload may change it. */
  most: number
  held: number
  /** Requests for the next exchange. */
  waiting: Waiting[]
  /** Requests of the exchange that is under way, until it is late. */
  asking: Waiting[]
  /** Number of the exchange that is under way; 0: none is. */
  underWay: number
  /** The exchange under way has taken longer than a request may wait. */
  isLate: boolean
  /** `held` is not what the store was told last. */
  isChanged: boolean
  /** All places were taken when the store was last asked, so somebody may be after the next that is free. */
  isTight: boolean
  /** When the store was last told of places, in this process's milliseconds: until `worth` later it may count them. */
  toldAt: number
}

export const noHolds = (key: string, most: number): KeyHolds => ({
  key,
  most,
  held: 0,
  waiting: [],
  asking: [],
  underWay: 0,
  isLate: false,
  isChanged: false,
  isTight: false,
  toldAt: Number.NEGATIVE_INFINITY
})
