import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SessionPolicy, SessionProvider } from './provider.ts'
import {
  begin,
  eventually,
  expectRotate,
  minute,
  newSession,
  newUser,
  type PlainCheck,
  rotate,
  type SessionProviderCheck,
  usual
} from './provider-check.ts'
import { dataChecks } from './provider-data-checks.ts'
import { newSessionId } from './refresh-token.ts'

export type { SessionProviderCheck } from './provider-check.ts'

const plain: readonly PlainCheck[] = [
  [
    'a session that began is told with all that is known of it',
    async (sessions) => {
      const session = newSession()
      const started = await sessions.start(session)
      assert.ok(started.outcome === 'CREATED')
      assert.equal(started.expiresAt - started.now, usual.absolute)
      assert.deepEqual(started.evicted, [])
      const { sid, uid, address, agent, client, methods } = session
      const times = { createdAt: started.now, lastSeenAt: started.now, expiresAt: started.expiresAt }
      const told = { sid, uid, epoch: started.epoch, ...times, address, agent, client, methods }
      assert.deepEqual(await sessions.read(sid), told)
      assert.deepEqual(await sessions.list(session.userHash), [told])
      assert.equal(await sessions.exists(sid), true)
    }
  ],
  [
    'a refresh token is exchanged once; its use again ends the session',
    async (sessions) => {
      const sid = await begin(sessions)
      assert.equal(await expectRotate(sessions, [sid, 0], 'ROTATED'), 1)
      assert.equal(await expectRotate(sessions, [sid, 1], 'ROTATED'), 2)
      await expectRotate(sessions, [sid, 0], 'REUSE')
      await expectRotate(sessions, [sid, 2], 'GONE')
      assert.equal(await sessions.exists(sid), false)
      assert.equal(await sessions.read(sid), undefined)
    }
  ],
  [
    'an exchange tells about the session, and never moves its end',
    async (sessions) => {
      const session = newSession()
      const started = await sessions.start(session)
      const rotated = await rotate(sessions, session.sid, 0)
      assert.ok(started.outcome === 'CREATED' && 'generation' in rotated)
      const { uid, epoch, stamp, createdAt, expiresAt, client, methods } = rotated
      assert.deepEqual([uid, stamp, client, methods], [session.uid, 'one', 'web', ['pwd', 'otp']])
      assert.deepEqual([epoch, createdAt, expiresAt], [started.epoch, started.now, started.expiresAt])
    }
  ],
  [
    'of 32 exchanges at once exactly one is the first',
    async (sessions) => {
      const sid = await begin(sessions)
      const all = await Promise.all(Array.from({ length: 32 }, () => rotate(sessions, sid, 0)))
      const count = (outcome: string) => all.filter((rotated) => rotated.outcome === outcome).length
      assert.equal(count('ROTATED'), 1)
      assert.equal(count('REUSE'), 1, 'the next one has no grace here')
      assert.equal(count('GONE'), 30)
    }
  ],
  [
    'a token newer than the provider remembers goes on from there',
    async (sessions) => {
      const sid = await begin(sessions)
      assert.equal(await expectRotate(sessions, [sid, 5], 'FASTFORWARD'), 6)
      assert.equal(await expectRotate(sessions, [sid, 6], 'ROTATED'), 7)
    }
  ],
  [
    'another client gets nothing and harms nothing',
    async (sessions) => {
      const sid = await begin(sessions)
      await expectRotate(sessions, [sid, 0], 'CLIENT', { client: 'other' })
      await expectRotate(sessions, [sid, 0], 'ROTATED', { client: 'web' })
      await expectRotate(sessions, [sid, 0], 'CLIENT', { client: 'other' })
      assert.equal(await sessions.exists(sid), true)
    }
  ],
  [
    'a patient client may show the last token again for as long as the session lives',
    async (sessions) => {
      const sid = await begin(sessions)
      await expectRotate(sessions, [sid, 0], 'ROTATED')
      assert.equal(await expectRotate(sessions, [sid, 0], 'REPLAY', { isPatient: true }), 1)
    }
  ],
  [
    'destroying ends one session and says whether there was one',
    async (sessions) => {
      const user = newUser()
      const [one, two] = [await begin(sessions, user), await begin(sessions, user)]
      assert.equal((await sessions.destroy(one)).existed, true)
      assert.equal((await sessions.destroy(one)).existed, false)
      assert.deepEqual([await sessions.exists(one), await sessions.exists(two)], [false, true])
      await expectRotate(sessions, [one, 0], 'GONE')
    }
  ],
  [
    "kicking ends all of a user's sessions and raises their epoch, above what the gateway remembers",
    async (sessions) => {
      const user = newUser()
      const sids = [await begin(sessions, user), await begin(sessions, user)]
      const bystander = await begin(sessions)
      const first = await sessions.kick(user.userHash, 0)
      assert.equal(first.epoch, 1)
      assert.deepEqual([...first.sessions].sort(), [...sids].sort())
      for (const sid of sids) await expectRotate(sessions, [sid, 0], 'GONE')
      assert.equal(await sessions.exists(bystander), true)
      const again = await sessions.start(newSession(user))
      assert.ok(again.outcome === 'CREATED')
      assert.equal(again.epoch, 1, 'the epoch outlives the sessions')
      assert.equal((await sessions.kick(user.userHash, 7)).epoch, 8)
      const raised = await sessions.start(newSession(user, { leastEpoch: 20 }))
      assert.ok(raised.outcome === 'CREATED')
      assert.equal(raised.epoch, 20)
    }
  ],
  [
    'sessions from before a change of the password end, others stay',
    async (sessions) => {
      const user = newUser()
      const old = await begin(sessions, user)
      const fresh = await begin(sessions, user, { stamp: 'two' })
      assert.deepEqual(await sessions.endOutdated(user.userHash, 'two'), [old])
      assert.deepEqual(await sessions.endOutdated(user.userHash, 'two'), [])
      assert.deepEqual([await sessions.exists(old), await sessions.exists(fresh)], [false, true])
    }
  ],
  [
    'a use is noted, never backwards; unknown sessions are left out',
    async (sessions) => {
      const sid = await begin(sessions)
      const before = (await sessions.read(sid))!.lastSeenAt
      const unknown = newSessionId('nobodynobody')
      await sessions.touch([{ sid, age: 30_000, confirmed: 0 }])
      assert.equal((await sessions.read(sid))!.lastSeenAt, before)
      await sleep(20)
      await sessions.touch([
        { sid: unknown, age: 0, confirmed: 0 },
        { sid, age: 0, confirmed: 0 }
      ])
      assert.ok((await sessions.read(sid))!.lastSeenAt > before)
      assert.equal(await sessions.exists(unknown), false)
    }
  ],
  [
    'sessions are listed and paged, the one used last first',
    async (sessions) => {
      const user = newUser()
      const first = await begin(sessions, user)
      await sleep(20)
      const second = await begin(sessions, user)
      const sids = (records: readonly { readonly sid: string }[]) => records.map(({ sid }) => sid)
      assert.deepEqual(sids(await sessions.list(user.userHash)), [second, first])
      assert.deepEqual(sids(await sessions.page(0, 1)), [second])
      assert.deepEqual(sids(await sessions.page(1, 1)), [first])
    }
  ],
  [
    'who is online is counted, and no longer once their sessions ended',
    async (sessions) => {
      const [before, user] = [await sessions.online(), newUser()]
      const more = async (count: number, users: number): Promise<boolean> => {
        const now = await sessions.online()
        return now.sessions === before.sessions + count && now.users === before.users + users
      }
      const [one] = [await begin(sessions, user), await begin(sessions, user), await begin(sessions)]
      await eventually(() => more(3, 2), 'three sessions of two users')
      await sessions.destroy(one)
      await eventually(() => more(2, 2), 'one session less, the user is still there')
      await sessions.kick(user.userHash, 0)
      await eventually(() => more(1, 1), 'one user less')
    }
  ]
]

const special: readonly SessionProviderCheck[] = [
  {
    name: 'a used token works again inside the grace, and while nobody is known to have got its successor',
    async run(open) {
      const graceful = await open({ ...usual, grace: minute })
      const sid = await begin(graceful)
      await expectRotate(graceful, [sid, 0], 'ROTATED')
      await graceful.touch([{ sid, age: 0, confirmed: 1 }])
      assert.equal(await expectRotate(graceful, [sid, 0], 'REPLAY'), 1)
      const unconfirmed = await open({ ...usual, unconfirmed: minute })
      const [told, asked] = [await begin(unconfirmed), await begin(unconfirmed)]
      for (const one of [told, asked]) await expectRotate(unconfirmed, [one, 0], 'ROTATED')
      assert.equal(await expectRotate(unconfirmed, [told, 0], 'REPLAY'), 1)
      await unconfirmed.touch([{ sid: told, age: 0, confirmed: 1 }])
      await expectRotate(unconfirmed, [told, 0], 'REUSE')
      await expectRotate(unconfirmed, [asked, 0], 'REUSE', { confirmed: 1 })
    }
  },
  {
    name: 'beyond the cap the session used least recently goes',
    async run(open) {
      const evicting = await open({ ...usual, cap: 2 })
      const user = newUser()
      const oldest = await begin(evicting, user)
      await sleep(20)
      const older = await begin(evicting, user)
      await sleep(20)
      await evicting.touch([{ sid: oldest, age: 0, confirmed: 0 }])
      const started = await evicting.start(newSession(user))
      assert.ok(started.outcome === 'CREATED')
      assert.deepEqual(started.evicted, [older])
      assert.equal(await evicting.exists(older), false)
    }
  },
  {
    name: 'where none has to go, the session beyond the cap does not begin',
    async run(open) {
      const sessions = await open({ ...usual, cap: 2, evicts: false })
      const user = newUser()
      const sids = [await begin(sessions, user), await begin(sessions, user)]
      const all = await Promise.all([1, 2, 3].map(() => sessions.start(newSession(user))))
      assert.ok(all.every(({ outcome }) => outcome === 'CAP'))
      await sessions.destroy(sids[0]!)
      const again = await Promise.all([1, 2, 3].map(() => sessions.start(newSession(user))))
      assert.equal(again.filter(({ outcome }) => outcome === 'CREATED').length, 1, 'also for many at once')
      assert.equal((await sessions.list(user.userHash)).length, 2)
    }
  },
  {
    name: 'an unused session ends, a used one slides, none outlives its absolute end, and all are swept',
    async run(open) {
      const sessions = await open({ ...usual, idle: 1200, absolute: 3000 })
      const [idle, used] = [await begin(sessions), await begin(sessions)]
      await sessions.writeData(idle, 'a', '1')
      for (let round = 0; round < 4; round += 1) {
        await sleep(500)
        await sessions.touch([{ sid: used, age: 0, confirmed: 0 }])
      }
      assert.equal(await sessions.exists(idle), false)
      assert.equal(await sessions.read(idle), undefined)
      assert.deepEqual(await sessions.readData(idle, 'a'), { outcome: 'GONE' })
      const { outcome } = await rotate(sessions, idle, 0)
      assert.ok(outcome === 'GONE' || outcome === 'EXPIRED', outcome)
      assert.equal(await sessions.exists(used), true)
      await sleep(1200)
      assert.equal(await sessions.exists(used), false)
      assert.ok((await sessions.gc()) >= 0)
      assert.equal(await sessions.gc(), 0, 'nothing is left to sweep')
      assert.deepEqual(await sessions.online(), { sessions: 0, users: 0 })
    }
  }
]

/**
 * What every session provider has to do, for the tests of its author: run each with a function that opens the provider, in whatever
 * test runner. A provider that fails one would let a stolen token pass, or sign users out.
 */
export const sessionProviderChecks: readonly SessionProviderCheck[] = [
  ...[...plain, ...dataChecks].map(([name, run]) => ({
    name,
    run: async (open: (policy: SessionPolicy) => SessionProvider | Promise<SessionProvider>) =>
      run(await open(usual))
  })),
  ...special
]
