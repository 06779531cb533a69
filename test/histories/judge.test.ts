import t from 'tap'
import { type Bounds, fromLines, type Seen, toLines } from './history.ts'
import { judge, type Rule } from './judge.ts'

const bounds: Bounds = { propagation: 100, grace: 0, unconfirmed: 60_000 }
const session = 's'

let clock = 0
/** The next thing that happens, 10 ms after the one before. */
const at = (): { from: number; to: number } => {
  clock += 10
  return { from: clock, to: clock + 5 }
}
const wait = (milliseconds: number): Seen[] => {
  clock += milliseconds
  return []
}
const login = (): Seen => ({ kind: 'login', node: 0, session, status: 200, ...at() })
const refresh = (generation: number, more: Partial<Extract<Seen, { kind: 'refresh' }>> = {}): Seen => {
  const given = { session, generation: generation + 1, token: `t${generation + 1}` }
  const asked = { node: 0, session, status: 200, ...at() }
  return { kind: 'refresh', who: 'honest', generation, ...asked, ...(more.status ? {} : { given }), ...more }
}
const use = (generation: number, status = 200, node = 0): Seen => {
  return { kind: 'use', node, session, status, generation, ...at() }
}
const end = (status = 204): Seen => ({ kind: 'end', node: 0, session, status, ...at() })
const fault = (what: Extract<Seen, { kind: 'fault' }>['what'], length = 5): Seen => {
  const { from } = at()
  clock += length
  return { kind: 'fault', what, from, to: clock }
}
const rulesBroken = (history: readonly Seen[]): Rule[] => [
  ...new Set(judge(fromLines(toLines(history)), bounds).map(({ rule }) => rule))
]

const sound: Readonly<Record<string, () => Seen[]>> = {
  'an ordinary life': () => [
    login(),
    refresh(0),
    use(1),
    refresh(1),
    use(2),
    end(),
    use(2, 401),
    ...wait(100),
    use(2, 401, 1)
  ],
  'an answer that was lost': () => [
    login(),
    refresh(0, { status: 0 }),
    refresh(0, { node: 1 }),
    refresh(0),
    refresh(1),
    use(2)
  ],
  'a thief who ends the family': () => [
    login(),
    refresh(0),
    refresh(1),
    refresh(0, { who: 'thief', status: 400 }),
    ...wait(100),
    use(2, 401),
    refresh(2, { status: 400 })
  ],
  'an end that others hear of a moment later': () => [login(), end(), use(0, 200, 1)],
  'an end that others hear of after a stall': () => [
    login(),
    end(),
    fault('stall', 500),
    use(0, 200, 1),
    ...wait(100),
    use(0, 401, 1)
  ],
  'a failover that lost a refresh': () => [
    login(),
    refresh(0),
    refresh(1),
    { ...fault('lost-write'), from: clock - 30 } as Seen,
    refresh(0),
    refresh(1, { status: 400 })
  ],
  'a restarted gateway that has not heard': () => [login(), refresh(0), use(1), fault('restart'), refresh(0)],
  'a store that is away': () => [login(), refresh(0, { status: 503 }), use(0, 503), refresh(0)]
}

for (const [name, history] of Object.entries(sound)) {
  t.test(`finds nothing in ${name}`, async (t) => t.same(rulesBroken(history()), []))
}

const planted: readonly (readonly [string, Rule, () => Seen[]])[] = [
  [
    'two successors of one token',
    'one-successor',
    () => [login(), refresh(0), refresh(0, { given: { session, generation: 1, token: 'another' } })]
  ],
  [
    'a successor that skips a generation',
    'one-successor',
    () => [login(), refresh(0, { given: { session, generation: 2, token: 't2' } })]
  ],
  [
    'a generation that goes backwards',
    'one-successor',
    () => [login(), refresh(0), refresh(1, { given: { session, generation: 1, token: 't1' } })]
  ],
  [
    'a successor of another session',
    'one-successor',
    () => [login(), refresh(0, { given: { session: 'x', generation: 1, token: 't1' } })]
  ],
  ['a grandparent that was taken', 'spent-token', () => [login(), refresh(0), refresh(1), refresh(0)]],
  [
    'a grandparent taken from a thief at another gateway',
    'spent-token',
    () => [login(), refresh(0), refresh(1), refresh(0, { who: 'thief', node: 1 })]
  ],
  [
    'a parent taken after its successor had arrived',
    'late-replay',
    () => [login(), refresh(0), use(1), refresh(0)]
  ],
  ['a parent taken after its time', 'late-replay', () => [login(), refresh(0), ...wait(60_001), refresh(0)]],
  ['a refresh after a sign-out', 'ended', () => [login(), end(), refresh(0)]],
  ['a refresh after a sign-out others may not know of', 'ended', () => [login(), end(202), refresh(0)]],
  ['a use after a sign-out at the same gateway', 'ended', () => [login(), end(), use(0)]],
  [
    'a use after a sign-out at another, when it must have heard',
    'ended',
    () => [login(), end(), ...wait(100), use(0, 200, 1)]
  ],
  [
    'a use after a sign-out and a stall',
    'ended',
    () => [login(), end(), fault('stall', 500), ...wait(100), use(0, 200, 1)]
  ],
  [
    'a sign-out that a failover undid',
    'ended',
    () => [login(), end(), fault('lost-write', 500), ...wait(100), refresh(0)]
  ],
  [
    'a family that lives on after reuse',
    'refused-family',
    () => [login(), refresh(0), refresh(1), refresh(0, { who: 'thief', status: 400 }), refresh(2)]
  ],
  [
    'access tokens that live on after reuse',
    'refused-family',
    () => [login(), refresh(0), refresh(1), refresh(0, { who: 'thief', status: 400 }), ...wait(100), use(2)]
  ],
  [
    'an honest client whose refresh is refused',
    'honest',
    () => [login(), refresh(0, { status: 0 }), refresh(0, { status: 400 })]
  ],
  ['an honest client whose access token is refused', 'honest', () => [login(), use(0, 401)]]
]

for (const [name, rule, history] of planted) {
  t.test(`finds ${name}`, async (t) => t.ok(rulesBroken(history()).includes(rule), rule))
}

t.test('the same history has the same verdict, in whichever order sessions come', async (t) => {
  const history = planted.flatMap(([, , make], index) =>
    make().map((seen) => (seen.kind === 'fault' ? seen : { ...seen, session: `${seen.session}${index}` }))
  )
  const told = (seen: readonly Seen[]) =>
    judge(seen, bounds)
      .map(({ rule, session: which }) => `${which} ${rule}`)
      .sort()
  t.same(told([...history].reverse()), told(history))
})
