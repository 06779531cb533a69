import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NewSession, Presented, SessionPolicy, SessionProvider } from './provider.ts'
import { newSessionId } from './refresh-token.ts'

/** What a check of any provider does, and what checks are made with. */
export type PlainCheck = readonly [name: string, run: (sessions: SessionProvider) => Promise<void>]

/** One thing a provider has to do; `run` rejects with an AssertionError that says what it did instead. */
export interface SessionProviderCheck {
  readonly name: string
  /** `open` gives a provider with this policy, and no sessions in it but those of this check. */
  run(open: (policy: SessionPolicy) => SessionProvider | Promise<SessionProvider>): Promise<void>
}

export const minute = 60_000
export const usual: SessionPolicy = {
  idle: minute,
  absolute: 10 * minute,
  grace: 0,
  unconfirmed: 0,
  cap: 0,
  evicts: true
}

export const newUser = () => ({
  userHash: randomBytes(9).toString('base64url'),
  uid: `user-${randomBytes(3).toString('hex')}`
})

export function newSession(user = newUser(), about: Partial<NewSession> = {}): NewSession {
  const caller = { address: '127.0.0.1', agent: 'checks', client: 'web', methods: ['pwd', 'otp'] }
  return { sid: newSessionId(user.userHash), ...user, stamp: 'one', leastEpoch: 0, ...caller, ...about }
}

export async function begin(sessions: SessionProvider, user = newUser(), about: Partial<NewSession> = {}) {
  const session = newSession(user, about)
  assert.equal((await sessions.start(session)).outcome, 'CREATED')
  return session.sid
}

export const rotate = (
  sessions: SessionProvider,
  sid: string,
  generation: number,
  about: Partial<Presented> = {}
) =>
  sessions.rotate({
    sid,
    generation,
    confirmed: 0,
    client: undefined,
    askedAt: performance.now(),
    ...about
  })

/** Exchanges, says which outcome it has to be, and gives the generation. */
export async function expectRotate(
  sessions: SessionProvider,
  [sid, generation]: readonly [string, number],
  outcome: string,
  about: Partial<Presented> = {}
): Promise<number> {
  const rotated = await rotate(sessions, sid, generation, about)
  assert.equal(rotated.outcome, outcome, `generation ${generation} shown`)
  return 'generation' in rotated ? rotated.generation : Number.NaN
}

export async function eventually(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 3000
  while (!(await isSo())) {
    assert.ok(Date.now() < deadline, what)
    await sleep(20)
  }
}
