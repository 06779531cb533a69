import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Presented, SessionPolicy } from '../../services/identity/sessions/provider.ts'
import { newSessionId, userHashOf } from '../../services/identity/sessions/refresh-token.ts'
import { Sessions } from '../../services/identity/sessions/sessions.ts'
import { openStores } from '../support/stores.ts'

const minute = 60_000
const policy: SessionPolicy = {
  idle: minute,
  absolute: 10 * minute,
  grace: minute,
  unconfirmed: 0,
  cap: 0,
  evicts: true
}

const rotate = (sessions: Sessions, sid: string, generation: number, about: Partial<Presented> = {}) =>
  sessions.rotate({
    ...{ sid, generation, confirmed: 0, client: undefined, askedAt: performance.now() },
    ...about
  })

const touch = (sessions: Sessions, sid: string, age: number, confirmed = 0) =>
  sessions.touch([{ sid, age, confirmed }])

const stores = await openStores(t)
for (const store of stores) {
  const open = (overrides: Partial<SessionPolicy> = {}) => new Sessions(store, { ...policy, ...overrides })
  let users = 0
  /** A user nobody else in this file has. */
  const newUser = () => {
    users += 1
    const userHash = `user${String(users).padStart(8, '0')}`
    const caller = { address: '127.0.0.1', agent: 'tap', client: 'web', methods: ['pwd'] }
    return { uid: `u${users}`, userHash, stamp: 'stamp', leastEpoch: 0, ...caller }
  }
  const begin = async (sessions: Sessions, user = newUser()): Promise<string> => {
    const sid = newSessionId(user.userHash)
    const { outcome } = await sessions.start({ ...user, sid })
    if (outcome !== 'CREATED') throw new Error(outcome)
    return sid
  }

  // Before there are any whose time may be up between two counts.
  t.test(`${store.driver}: counts sessions and users that are there`, async (t) => {
    const sessions = open()
    // The first to leave teaches the store how that is noted, which is not waited for.
    await sessions.destroy(await begin(sessions))
    for (let look = 0; look < 100 && (await sessions.online()).sessions > 0; look += 1) await sleep(10)
    const start = await sessions.online()
    t.same(start, { sessions: 0, users: 0 })
    const user = newUser()
    const [one, two] = [await begin(sessions, user), await begin(sessions, user)]
    const other = await begin(sessions)
    t.same(await sessions.online(), { sessions: start.sessions + 3, users: start.users + 2 })
    t.equal((await sessions.page(0, 2)).length, 2)
    await sessions.destroy(one)
    t.same(await sessions.online(), { sessions: start.sessions + 2, users: start.users + 2 })
    for (const sid of [two, other]) await sessions.destroy(sid)
    t.same(await sessions.online(), start)
    t.equal(userHashOf(one), user.userHash)
  })

  t.test(`${store.driver}: a refresh token is exchanged once, and again only inside the grace`, async (t) => {
    const sessions = open({ grace: 300 })
    const sid = await begin(sessions)
    const first = await rotate(sessions, sid, 0)
    t.match(first, { outcome: 'ROTATED', generation: 1, stamp: 'stamp', epoch: 0 })
    t.match(await rotate(sessions, sid, 0), { outcome: 'REPLAY', generation: 1 })
    t.match(await rotate(sessions, sid, 1), { outcome: 'ROTATED', generation: 2 })
    t.match(await rotate(sessions, sid, 1), { outcome: 'REPLAY', generation: 2 }, 'the immediate parent')
    await sleep(320)
    t.match(await rotate(sessions, sid, 1), { outcome: 'REUSE', uid: first.uid, remaining: 0 }, 'too late')
    t.match(await rotate(sessions, sid, 2), { outcome: 'GONE' }, 'the family died with it')
  })

  t.test(`${store.driver}: what was asked long ago ends no session, and changes nothing`, async (t) => {
    const sessions = open()
    const sid = await begin(sessions)
    for (const generation of [0, 1]) t.match(await rotate(sessions, sid, generation), { outcome: 'ROTATED' })
    const late = { askedAt: performance.now() - 1000 }
    t.match(await rotate(sessions, sid, 0, late), { outcome: 'LATE' })
    t.match(await rotate(sessions, sid, 1, late), { outcome: 'REPLAY' }, 'harmless, however late')
    t.match(await rotate(sessions, sid, 2), { outcome: 'ROTATED', generation: 3 }, 'it goes on')
    t.match(await rotate(sessions, sid, 0), { outcome: 'REUSE' }, 'asked in time it is a theft')
  })

  t.test(`${store.driver}: a token older than the parent ends the family at once`, async (t) => {
    const sessions = open()
    const user = newUser()
    const sid = await begin(sessions, user)
    const other = await begin(sessions, user)
    await rotate(sessions, sid, 0)
    await rotate(sessions, sid, 1)
    t.match(await rotate(sessions, sid, 0), { outcome: 'REUSE', remaining: 1 })
    t.equal(await sessions.exists(sid), false)
    t.equal(await sessions.exists(other), true, 'other sessions of the user go on')
  })

  t.test(`${store.driver}: 64 concurrent exchanges make one new generation`, async (t) => {
    const sessions = open()
    const sid = await begin(sessions)
    const all = await Promise.all(Array.from({ length: 64 }, () => rotate(sessions, sid, 0)))
    t.equal(all.filter(({ outcome }) => outcome === 'ROTATED').length, 1)
    t.equal(all.filter(({ outcome }) => outcome === 'REPLAY').length, 63)
    t.same([...new Set(all.map(({ generation }) => generation))], [1])
  })

  t.test(`${store.driver}: a token newer than the store remembers goes on from there`, async (t) => {
    const sessions = open()
    const sid = await begin(sessions)
    t.match(await rotate(sessions, sid, 5), { outcome: 'FASTFORWARD', generation: 6 })
    t.match(await rotate(sessions, sid, 6), { outcome: 'ROTATED', generation: 7 })
  })

  t.test(
    `${store.driver}: an unused session ends, a used one slides, none outlives its absolute end`,
    async (t) => {
      const sessions = open({ idle: 1200, absolute: 3000 })
      const idle = await begin(sessions)
      const used = await begin(sessions)
      for (let round = 0; round < 4; round += 1) {
        await sleep(500)
        await touch(sessions, used, 0)
      }
      t.equal(await sessions.exists(idle), false)
      t.match(await rotate(sessions, idle, 0), { outcome: 'GONE' })
      t.equal(await sessions.exists(used), true)
      t.match(await rotate(sessions, used, 0), { outcome: 'ROTATED' })
      await sleep(1100)
      t.equal(await sessions.exists(used), false, 'rotation does not extend the absolute end')
    }
  )

  t.test(`${store.driver}: touching never moves the last use backwards`, async (t) => {
    const sessions = open()
    const sid = await begin(sessions)
    const before = await sessions.read(sid)
    await touch(sessions, sid, 30_000)
    t.same((await sessions.read(sid))?.lastSeenAt, before?.lastSeenAt)
    await sleep(5)
    await touch(sessions, sid, 0)
    t.ok((await sessions.read(sid))!.lastSeenAt > before!.lastSeenAt)
  })

  t.test(`${store.driver}: ending a user ends every session and outdates every token`, async (t) => {
    const sessions = open()
    const user = newUser()
    const sids = [await begin(sessions, user), await begin(sessions, user)]
    const bystander = await begin(sessions)
    const { epoch, sessions: ended } = await sessions.kick(user.userHash, 0)
    t.equal(epoch, 1)
    t.same([...ended].sort(), [...sids].sort())
    for (const sid of sids) t.match(await rotate(sessions, sid, 0), { outcome: 'GONE' })
    t.equal(await sessions.exists(bystander), true)
    t.match(
      await sessions.start({ ...user, sid: newSessionId(user.userHash) }),
      { outcome: 'CREATED', epoch: 1 },
      'the next sign-in starts in the new epoch'
    )
    t.equal((await sessions.kick(user.userHash, 7)).epoch, 8, 'above what a gateway remembers')
  })

  t.test(`${store.driver}: ending a session says what is left`, async (t) => {
    const sessions = open()
    const user = newUser()
    const [one, two] = [await begin(sessions, user), await begin(sessions, user)]
    t.same(await sessions.destroy(one), { existed: true, remaining: 1 })
    t.same(await sessions.destroy(one), { existed: false, remaining: 1 })
    t.same(await sessions.destroy(two), { existed: true, remaining: 0 })
  })

  t.test(
    `${store.driver}: beyond the cap the session used least recently goes, or the new one`,
    async (t) => {
      const evicting = open({ cap: 2 })
      const user = newUser()
      const oldest = await begin(evicting, user)
      await sleep(5)
      const older = await begin(evicting, user)
      await sleep(5)
      await touch(evicting, oldest, 0)
      const created = await evicting.start({ ...user, sid: newSessionId(user.userHash) })
      t.match(created, { outcome: 'CREATED', evicted: [older] })
      t.equal(await evicting.exists(older), false)
      t.equal(await evicting.exists(oldest), true)
      t.match(await open({ cap: 2, evicts: false }).start({ ...user, sid: newSessionId(user.userHash) }), {
        outcome: 'CAP'
      })
      t.equal((await evicting.list(user.userHash)).length, 2)
    }
  )

  t.test(`${store.driver}: lists what it knows of a user's sessions, the one used last first`, async (t) => {
    const sessions = open()
    const user = newUser()
    const first = await begin(sessions, user)
    await sleep(5)
    const second = await begin(sessions, user)
    const listed = await sessions.list(user.userHash)
    t.same(
      listed.map(({ sid }) => sid),
      [second, first]
    )
    t.match(listed[0], {
      uid: user.uid,
      address: '127.0.0.1',
      agent: 'tap',
      client: 'web',
      methods: ['pwd'],
      epoch: 0
    })
    t.equal(listed[0]!.expiresAt - listed[0]!.createdAt, policy.absolute)
  })

  t.test(
    `${store.driver}: the parent is replayable until its successor is known to have arrived`,
    async (t) => {
      const sessions = open({ grace: 0, unconfirmed: minute })
      // 1. Nobody has used what came with generation 1: its answer may be lost, again and again.
      const sid = await begin(sessions)
      const begun = await rotate(sessions, sid, 0)
      for (let lost = 0; lost < 3; lost += 1) {
        const { expiresAt } = begun
        t.match(await rotate(sessions, sid, 0), { outcome: 'REPLAY', generation: 1, expiresAt })
      }
      // 2. A token of the generation before says nothing about the successor.
      await touch(sessions, sid, 0, 0)
      t.match(await rotate(sessions, sid, 0), { outcome: 'REPLAY' })
      // 3. The successor itself was used: its own successor is unconfirmed, and the grandparent is too old.
      t.match(await rotate(sessions, sid, 1), { outcome: 'ROTATED', generation: 2 })
      t.match(await rotate(sessions, sid, 1), { outcome: 'REPLAY', generation: 2 })
      t.match(await rotate(sessions, sid, 0), { outcome: 'REUSE' })
      t.match(await rotate(sessions, sid, 2), { outcome: 'GONE' })
    }
  )

  t.test(
    `${store.driver}: reuse after a confirmation, from the store or the gateway, ends the family`,
    async (t) => {
      const sessions = open({ grace: 0, unconfirmed: minute })
      const [told, asked] = [await begin(sessions), await begin(sessions)]
      for (const sid of [told, asked]) await rotate(sessions, sid, 0)
      await touch(sessions, told, 30_000, 1)
      t.match(await rotate(sessions, told, 0), { outcome: 'REUSE' }, 'confirmed, although seen long ago')
      t.equal(await sessions.exists(told), false)
      t.match(await rotate(sessions, asked, 0, { confirmed: 1 }), { outcome: 'REUSE' })
      t.equal(await sessions.exists(asked), false)
    }
  )

  t.test(
    `${store.driver}: a confirmed successor leaves the grace alone; an unconfirmed one has its bound`,
    async (t) => {
      const graceful = open({ grace: minute, unconfirmed: minute })
      const sid = await begin(graceful)
      await rotate(graceful, sid, 0)
      await touch(graceful, sid, 0, 1)
      t.match(await rotate(graceful, sid, 0), { outcome: 'REPLAY' })
      const bounded = open({ grace: 0, unconfirmed: 300 })
      const other = await begin(bounded)
      await rotate(bounded, other, 0)
      t.match(await rotate(bounded, other, 0), { outcome: 'REPLAY' })
      await sleep(320)
      t.match(
        await rotate(bounded, other, 0),
        { outcome: 'REUSE' },
        'the first exchange counts, not the replay'
      )
    }
  )

  t.test(
    `${store.driver}: 64 at once with an unconfirmed parent and its successor keep one line`,
    async (t) => {
      const sessions = open({ grace: 0, unconfirmed: minute })
      const sid = await begin(sessions)
      const all = await Promise.all(Array.from({ length: 64 }, () => rotate(sessions, sid, 0)))
      t.equal(all.filter(({ outcome }) => outcome === 'ROTATED').length, 1)
      t.equal(all.filter(({ outcome }) => outcome === 'REPLAY').length, 63)
      t.same([...new Set(all.map(({ generation }) => generation))], [1])
      t.match(await rotate(sessions, sid, 1), { outcome: 'ROTATED', generation: 2 })
    }
  )

  t.test(
    `${store.driver}: another client than the one it was given to gets nothing and harms nothing`,
    async (t) => {
      const sessions = open({ grace: 0 })
      const sid = await begin(sessions)
      t.match(await rotate(sessions, sid, 0, { client: 'other' }), { outcome: 'CLIENT' })
      t.match(await rotate(sessions, sid, 0, { client: 'web' }), { outcome: 'ROTATED', client: 'web' })
      t.match(await rotate(sessions, sid, 0, { client: 'other' }), { outcome: 'CLIENT' }, 'not even by reuse')
      t.match(await rotate(sessions, sid, 1), { outcome: 'ROTATED', generation: 2, methods: ['pwd'] })
    }
  )

  t.test(`${store.driver}: ids have 128 random bits behind the user's hash`, async (t) => {
    const user = newUser()
    const sids = await Promise.all(Array.from({ length: 64 }, () => begin(open(), user)))
    const random = sids.map((sid) => Buffer.from(sid.slice(12), 'base64url'))
    t.ok(sids.every((sid) => userHashOf(sid) === user.userHash))
    t.ok(random.every(({ length }) => length === 16))
    // Of 64 ids each bit is 0 in one and 1 in another; that it is not happens once in 2^56 runs.
    for (let bit = 0; bit < 128; bit += 1) {
      const ones = random.filter((bytes) => ((bytes[bit >> 3]! >> (bit & 7)) & 1) === 1).length
      t.ok(ones > 0 && ones < 64, `bit ${bit}`)
    }
  })
}
