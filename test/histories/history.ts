/** What was seen from outside while clients, thieves and faults were at work. Times are milliseconds of one clock. */
export type Seen = Login | Refresh | Use | End | Fault

interface Timed {
  /** Before the request was sent. */
  readonly from: number
  /** After its answer had arrived, or was given up. */
  readonly to: number
}

interface Asked extends Timed {
  /** Which gateway was asked. */
  readonly node: number
  readonly session: string
  /** 0 without an answer: nobody knows whether the request was carried out. */
  readonly status: number
}

export interface Login extends Asked {
  readonly kind: 'login'
}

export interface Refresh extends Asked {
  readonly kind: 'refresh'
  readonly who: 'honest' | 'thief'
  /** Of the refresh token that was shown; each one was once given out by a gateway. */
  readonly generation: number
  /** What came back with a 200; `token` is a hash of the new refresh token. */
  readonly given?: { readonly session: string; readonly generation: number; readonly token: string }
}

/** An access token was shown; it had not expired. */
export interface Use extends Asked {
  readonly kind: 'use'
  /** Of the refresh token it was given out with. */
  readonly generation: number
}

/** A sign-out or a kick. */
export interface End extends Asked {
  readonly kind: 'end'
}

export interface Fault extends Timed {
  readonly kind: 'fault'
  /** `lost-write`: what the store was told between `from` and `to` may be forgotten. */
  readonly what: 'stall' | 'restart' | 'lost-write'
}

export interface Bounds {
  /** Milliseconds within which every gateway that runs has heard that a session ended. */
  readonly propagation: number
  /** `auth.grace` and `auth.unconfirmed`, in milliseconds. */
  readonly grace: number
  readonly unconfirmed: number
}

export const toLines = (history: readonly Seen[]): string =>
  history.map((seen) => `${JSON.stringify(seen)}\n`).join('')

export const fromLines = (text: string): Seen[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Seen)
