/**
 * A session provider that keeps everything in one map: to be read, and to begin one's own with. It is right for one gateway process;
 * when that ends, everybody is signed out.
 *
 * JavaScript makes it easy here: what a method does before its first `await` is one atomic operation, and none of these has an
 * `await` at all. In a database each needs a transaction or a single statement: read what the interface says of each.
 *
 * @type {import('tollkeeper').SessionProviderFactory}
 */
export default function memoryProvider(options, { policy, warn }) {
  const { idle, absolute, cap, evicts } = policy
  const most = options.most ?? 100_000
  /** Session id -> session. */
  const sessions = new Map()
  /** User hash -> epoch. It outlives the sessions, or a token from before a kick could be mistaken for one from after it. */
  const epochs = new Map()

  const userHashOf = (sid) => sid.slice(0, 12)
  const isOver = (session, now) => now >= session.expiresAt || now >= session.lastSeenAt + idle
  const byLastUse = (a, b) => b.lastSeenAt - a.lastSeenAt

  /** The session, unless it is over: what is over by time is gone, swept or not. */
  const find = (sid) => {
    const session = sessions.get(sid)
    return session === undefined || isOver(session, Date.now()) ? undefined : session
  }

  const live = () => [...sessions.values()].filter((session) => !isOver(session, Date.now())).sort(byLastUse)
  const ofUser = (userHash) => live().filter(({ sid }) => userHashOf(sid) === userHash)

  /** What may be told of a session: neither its stamp nor what only `rotate` needs. */
  const recordOf = ({ generation, rotatedAt, confirmed, stamp, data, ...record }) => record

  const end = (ended) => {
    for (const { sid } of ended) sessions.delete(sid)
    return ended.map(({ sid }) => sid)
  }

  return {
    async start({ userHash, leastEpoch, ...about }) {
      if (sessions.size >= most) throw new Error('The map is full.')
      const now = Date.now()
      // Room is made and the session begun in one go, or two sign-ins at once would both find room for one.
      const theirs = cap > 0 ? ofUser(userHash) : []
      const tooMany = cap > 0 ? theirs.slice(cap - 1) : []
      if (tooMany.length > 0 && !evicts) return { outcome: 'CAP' }
      const evicted = end(tooMany)
      const epoch = Math.max(epochs.get(userHash) ?? 0, leastEpoch)
      if (epoch > 0) epochs.set(userHash, epoch)
      const expiresAt = now + absolute
      const times = { createdAt: now, lastSeenAt: now, expiresAt, rotatedAt: now }
      sessions.set(about.sid, { ...about, ...times, epoch, generation: 0, confirmed: 0, data: new Map() })
      return { outcome: 'CREATED', epoch, now, expiresAt, evicted }
    },

    async rotate({ sid, generation: shown, confirmed, client, isPatient }) {
      const now = Date.now()
      const session = sessions.get(sid)
      if (session === undefined) return { outcome: 'GONE' }
      const over = (outcome) => {
        sessions.delete(sid)
        return { outcome }
      }
      if (isOver(session, now)) return over('EXPIRED')
      if (session.epoch < (epochs.get(userHashOf(sid)) ?? 0)) return over('REVOKED')
      // Before anything changes: who is not the client must not be able to end the session either.
      if (client !== undefined && client !== session.client) return { outcome: 'CLIENT' }

      let outcome
      if (shown >= session.generation) {
        // Newer than the session's: this map never loses a write, but a database that fails over does.
        outcome = shown === session.generation ? 'ROTATED' : 'FASTFORWARD'
        session.generation = shown + 1
        session.rotatedAt = now
      } else {
        const grace = isPatient ? absolute : policy.grace
        const isConfirmed = Math.max(session.confirmed, confirmed) >= session.generation
        const window = isConfirmed ? grace : Math.max(grace, policy.unconfirmed)
        const isReplay = shown === session.generation - 1 && now - session.rotatedAt < window
        // Two parties hold this token. The session ends before anybody else is served.
        if (!isReplay) return over('REUSE')
        outcome = 'REPLAY'
      }
      session.lastSeenAt = now
      const { generation, uid, epoch, stamp, createdAt, expiresAt, methods } = session
      const about = { uid, epoch, stamp, createdAt, expiresAt, client: session.client, methods }
      return { outcome, generation, now, ...about }
    },

    async destroy(sid) {
      const existed = find(sid) !== undefined
      sessions.delete(sid)
      return { existed }
    },

    async kick(userHash, leastEpoch) {
      const epoch = Math.max(epochs.get(userHash) ?? 0, leastEpoch) + 1
      epochs.set(userHash, epoch)
      return { epoch, sessions: end(ofUser(userHash)) }
    },

    async endOutdated(userHash, stamp) {
      return end(ofUser(userHash).filter((session) => session.stamp !== stamp))
    },

    async touch(used) {
      for (const { sid, age, confirmed } of used) {
        const session = find(sid)
        if (session === undefined) continue
        session.lastSeenAt = Math.max(session.lastSeenAt, Date.now() - age)
        session.confirmed = Math.max(session.confirmed, confirmed)
      }
    },

    async exists(sid) {
      return find(sid) !== undefined
    },

    async read(sid) {
      const session = find(sid)
      return session && recordOf(session)
    },

    async list(userHash) {
      return ofUser(userHash).slice(0, 1000).map(recordOf)
    },

    async page(offset, limit) {
      return live()
        .slice(offset, offset + limit)
        .map(recordOf)
    },

    async online() {
      const now = live()
      return { sessions: now.length, users: new Set(now.map(({ sid }) => userHashOf(sid))).size }
    },

    async readData(sid, name) {
      const session = find(sid)
      return session ? { outcome: 'READ', json: session.data.get(name) } : { outcome: 'GONE' }
    },

    async writeData(sid, name, json) {
      const session = find(sid)
      if (session === undefined) return 'GONE'
      if (json === undefined) {
        session.data.delete(name)
        return 'WRITTEN'
      }
      const next = new Map(session.data).set(name, json)
      const bytes = [...next].reduce((sum, pair) => sum + Buffer.byteLength(pair.join('')), 0)
      if (bytes > 2048) return 'FULL'
      session.data = next
      return 'WRITTEN'
    },

    async gc() {
      const over = [...sessions.values()].filter((session) => isOver(session, Date.now()))
      return end(over).length
    },

    async close() {
      if (sessions.size > 0) warn(`${sessions.size} sessions end with this process.`)
    }
  }
}
