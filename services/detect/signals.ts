import type { Services } from '../services.ts'

/**
 * What speaks against a client, and how much it weighs by itself. A hundred points within the window are enough for a ban, so that
 * what no person does by accident weighs most, and what a broken page does all day hardly anything.
 */
export const signals = {
  tool: { weight: 100, means: 'The user agent is that of a known scanner (sqlmap, nikto ...).' },
  probe: {
    weight: 50,
    means: 'A path that only somebody who looks for weak spots asks for (/.env, /.git/config ...).'
  },
  denied: { weight: 50, means: 'Refused by `headers`, `userAgents` or `paths`.' },
  attack: {
    weight: 40,
    means: 'An attempt on the service in path or query (path traversal, SQL, script, template).'
  },
  malformed: {
    weight: 20,
    means: 'A request that is not well-formed, or that two servers could read differently.'
  },
  method: { weight: 15, means: 'A method that no page uses (TRACE, PROPFIND ...), refused.' },
  login: { weight: 10, means: 'A sign-in that failed, or that is locked out.' },
  token: { weight: 10, means: 'An access token or API key that never was one.' },
  oversize: { weight: 5, means: 'A path, a head or a body that is too large.' },
  attempt: { weight: 3, means: 'A POST without session or token that a service answered with 401 or 403.' },
  missing: { weight: 1, means: 'Another path that there is not (404); each counts once.' },
  limited: { weight: 0.5, means: 'A request too many (429).' },
  forbidden: { weight: 0.5, means: 'A request that is not allowed (403).' },
  unauthenticated: { weight: 0.1, means: 'A request without a token, or with one that has ended (401).' },
  again: { weight: 0.1, means: 'The same path that there is not, once more.' }
} as const satisfies Record<string, { readonly weight: number; readonly means: string }>

export type Signal = keyof typeof signals

export const signalNames = Object.keys(signals) as readonly Signal[]

/** How often each signal was noted, in the life of the process. */
export type SignalFigures = Record<Signal, number>

/** The figures of this process: counted by whoever notes signals, read by whoever tells of them. */
export const signalFiguresOf = (services: Pick<Services, 'shared'>): SignalFigures =>
  services.shared('signals', () => Object.fromEntries(signalNames.map((name) => [name, 0])) as SignalFigures)
