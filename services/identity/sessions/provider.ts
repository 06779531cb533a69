/**
 * Where sessions live. The gateway brings one such provider along, over its store; a module of one's own can take its place
 * (`auth.sessions.provider`). The checks that every provider has to pass are `sessionProviderChecks`.
 *
 * - Times are milliseconds since the epoch by ONE clock, the provider's: never a gateway's, of which there may be many.
 * - A session id has 34 characters of base64url. The first 12 are the hash of its user (`userHash`), the same for all of theirs.
 * - A method that cannot decide rejects. The gateway takes any rejection, and no answer within five seconds, for a store that is
 *   away: it answers 503 and repeats nothing. So a method must not reject after it has decided.
 * - A session that is over by time (`idle`, `absolute`) is gone for every method, whether or not it was swept.
 * - "One operation" means: atomic against every other operation on sessions of that user, through whichever gateway. Two
 *   statements, one after the other, are not that.
 */
export interface SessionProvider {
  /** Begins a session under the id that is given. One operation with counting the user's sessions and making room for this one. */
  start(session: NewSession): Promise<Started>

  /**
   * Exchanges one generation of a session's refresh token for the next. One operation, above all others: of any number that show
   * the same generation at once exactly one gets ROTATED, and a session that ends here is gone before anybody else is served.
   */
  rotate(shown: Presented): Promise<Rotated>

  /** Ends one session. Its `data` goes with it. */
  destroy(sid: string): Promise<{ readonly existed: boolean }>

  /**
   * Ends every session of a user and raises their epoch to at least `leastEpoch` + 1, one operation: no session that begins or is
   * refreshed meanwhile may keep the old epoch. The epoch outlives the sessions; a user who never had one is in epoch 0.
   */
  kick(userHash: string, leastEpoch: number): Promise<Kicked>

  /** Ends the sessions of a user that began with another `stamp` than this one; says which. Doing it twice is harmless. */
  endOutdated(userHash: string, stamp: string): Promise<readonly string[]>

  /** Notes the use of many sessions: the idle time counts from then on. Never moves a last use backwards; unknown ids are left out. */
  touch(used: readonly Use[]): Promise<void>

  /** Whether there is such a session, for routes that ask at every request. */
  exists(sid: string): Promise<boolean>

  read(sid: string): Promise<SessionRecord | undefined>

  /** A user's sessions, the one used last first; at most 1000. */
  list(userHash: string): Promise<readonly SessionRecord[]>

  /** Sessions of all users, the one used last first. */
  page(offset: number, limit: number): Promise<readonly SessionRecord[]>

  /** How many sessions, and of how many users, were used within the idle time. May be a moment late. */
  online(): Promise<Online>

  /** One value of a session's data. */
  readData(sid: string, name: string): Promise<DataRead>

  /**
   * Sets one value of a session's data, or removes it where `json` is undefined. One operation with adding up the bytes (UTF-8) of
   * all names and values of the session: beyond `maxSessionData` it is FULL and nothing changes. Removing is never FULL. Data is no
   * use of the session: it does not prolong it.
   */
  writeData(sid: string, name: string, json: string | undefined): Promise<DataWritten>

  /**
   * Sweeps what nobody can reach any more, a bounded amount at a time, and says how many entries it was: sessions that are over,
   * and what points at them. Each gateway asks once per idle time, and no more often than once a minute.
   */
  gc(): Promise<number>

  /** Lets go of connections and files. */
  close?(): Promise<void>
}

/** What a module named by `auth.sessions.provider` exports as default. */
export type SessionProviderFactory = (
  /** `auth.sessions.options`, as they are. */
  options: Readonly<Record<string, unknown>>,
  surroundings: SessionSurroundings
) => SessionProvider | Promise<SessionProvider>

export interface SessionSurroundings {
  readonly policy: SessionPolicy
  /** Where the config file is. */
  readonly directory: string
  /** Writes one line to the gateway's log. */
  readonly warn: (sentence: string) => void
}

/** What the config says of sessions. */
export interface SessionPolicy {
  /** Milliseconds without use after which a session ends. */
  readonly idle: number
  /** Milliseconds after which a session ends in any case. */
  readonly absolute: number
  /** Milliseconds in which a used refresh token may be shown again. */
  readonly grace: number
  /** The same for one whose successor nobody is known to have got. */
  readonly unconfirmed: number
  /** Sessions a user may have; 0 for any number. */
  readonly cap: number
  /** Beyond the cap: whether the session used least recently goes; else the new one is refused. */
  readonly evicts: boolean
}

export interface NewSession {
  /** Made for this sign-in, and used by no other. */
  readonly sid: string
  readonly uid: string
  readonly userHash: string
  /** Changes with the user's password. To be kept and compared, not to be shown. */
  readonly stamp: string
  /** What the gateway remembers the user's epoch to be at least. */
  readonly leastEpoch: number
  readonly address: string
  readonly agent: string
  readonly client: string
  readonly methods: readonly string[]
}

export type Started =
  | {
      readonly outcome: 'CREATED'
      /** The user's epoch, raised to `leastEpoch` where it was smaller. It stays that of the session. */
      readonly epoch: number
      readonly now: number
      /** When the session ends, however much it is used. */
      readonly expiresAt: number
      /** Sessions that made room, ended with this operation: the gateway revokes their access tokens. */
      readonly evicted: readonly string[]
    }
  /** The user has as many sessions as they may, and none has to go for a new one. */
  | { readonly outcome: 'CAP' }

/** A refresh token that is shown. */
export interface Presented {
  readonly sid: string
  /** 0 for the token of the sign-in, one more with each exchange. */
  readonly generation: number
  /** The newest generation this gateway has seen a token of; the provider may not have heard of it yet. */
  readonly confirmed: number
  /** The client that shows it, when it says so. */
  readonly client: string | undefined
  /** Makes `grace` as long as the session lives: browsers lose answers all the time. */
  readonly isPatient?: boolean
  /** When its client was last known to wait for the answer, by performance.now(). */
  readonly askedAt: number
}

/**
 * In this order:
 * - GONE: there is no such session.
 * - EXPIRED, REVOKED: it is over by time, or its epoch is smaller than its user's. It is ended.
 * - CLIENT: it was given to another client than the one that asks. Nothing changes.
 * - ROTATED: the generation shown is the session's, which becomes the next one.
 * - FASTFORWARD: it is larger: the provider lost a write. It counts as the session's.
 * - REPLAY: it is the one before, within `grace` of the last exchange, or within `unconfirmed` of it while neither the session nor
 *   `confirmed` knows the use of a token of the newest generation. The answer is the generation the session has already.
 * - LATE: it would be a REUSE, but whoever asked (`askedAt`) has given up by now: the gateway or the provider stood still, and the
 *   client's own later exchange may be the reason. Nothing changes. A provider that cannot tell never says so.
 * - REUSE: anything older: two parties hold the token. The session is ended.
 */
export type RotateOutcome = Rotated['outcome']

export type Rotated =
  | {
      /** The session was used, and goes on. */
      readonly outcome: 'ROTATED' | 'FASTFORWARD' | 'REPLAY'
      /** Of the refresh token to give out. */
      readonly generation: number
      readonly uid: string
      /** The session's, not its user's. */
      readonly epoch: number
      readonly stamp: string
      readonly now: number
      readonly createdAt: number
      readonly expiresAt: number
      readonly client: string
      readonly methods: readonly string[]
    }
  | { readonly outcome: 'REUSE' | 'LATE' | 'EXPIRED' | 'REVOKED' | 'CLIENT' | 'GONE' }

export interface Kicked {
  /** Tokens with a smaller epoch are void. */
  readonly epoch: number
  /** The sessions that were ended. */
  readonly sessions: readonly string[]
}

/** The use of a session, `age` milliseconds ago; `confirmed` is the newest generation a token of which was used. */
export interface Use {
  readonly sid: string
  readonly age: number
  readonly confirmed: number
}

/** One session, as the provider tells of it. */
export interface SessionRecord {
  readonly sid: string
  readonly uid: string
  /** The user's epoch when the session began. */
  readonly epoch: number
  readonly createdAt: number
  readonly lastSeenAt: number
  /** When the session ends, however much it is used. */
  readonly expiresAt: number
  readonly address: string
  readonly agent: string
  /** The client (RFC 6749 1.1) the session was given to. */
  readonly client: string
  /** How the user proved to be who they are (RFC 8176). */
  readonly methods: readonly string[]
}

export interface Online {
  readonly sessions: number
  readonly users: number
}

/** Bytes that the names and values of one session's data may have in all. */
export const maxSessionData = 2048

/** `json` is undefined where the session has no such value. */
export type DataRead =
  | { readonly outcome: 'READ'; readonly json: string | undefined }
  | { readonly outcome: 'GONE' }

export type DataWritten = 'WRITTEN' | 'FULL' | 'GONE'
