import type { Bounds, End, Fault, Refresh, Seen, Use } from './history.ts'

export type Rule =
  /** A refresh token gave two different successors, or one that is not the next of its session. */
  | 'one-successor'
  /** A token older than the parent of the newest was taken. */
  | 'spent-token'
  /** A parent was taken after its successor was known to have arrived, or after the time for that. */
  | 'late-replay'
  /** Something of a session was taken after its sign-out or kick was acknowledged. */
  | 'ended'
  /** Something of a session was taken after a refresh token of it was refused for good. */
  | 'refused-family'
  /** A client that did everything right was signed out. */
  | 'honest'

export interface Violation {
  readonly rule: Rule
  readonly session: string
  readonly seen: Seen
}

type Of<Kind extends Seen['kind']> = Extract<Seen, { kind: Kind }>

/** Finds everything in a history that the gateways promise never happens. Pure: the same history, the same verdict. */
export function judge(history: readonly Seen[], bounds: Bounds): readonly Violation[] {
  const faults = history.filter((seen) => seen.kind === 'fault').sort((a, b) => a.from - b.from)
  const sessions = new Map<string, Exclude<Seen, Fault>[]>()
  for (const seen of history) {
    if (seen.kind === 'fault') continue
    const known = sessions.get(seen.session)
    if (known === undefined) sessions.set(seen.session, [seen])
    else known.push(seen)
  }
  return [...sessions].flatMap(([session, events]) => {
    const of = <Kind extends Seen['kind']>(kind: Kind) =>
      events.filter((seen) => seen.kind === kind) as unknown as Of<Kind>[]
    const story: Story = {
      session,
      bounds,
      faults,
      refreshes: of('refresh').sort((a, b) => a.from - b.from),
      uses: of('use'),
      ends: of('end'),
      isShaken: faults.some(
        ({ what, from, to }) =>
          what === 'lost-write' && events.some((seen) => seen.from <= to && seen.to >= from)
      )
    }
    return rules.flatMap(([rule, find]) => find(story).map((seen) => ({ rule, session, seen })))
  })
}

/** One session's part of the history. */
interface Story {
  readonly session: string
  readonly bounds: Bounds
  readonly faults: readonly Fault[]
  readonly refreshes: readonly Refresh[]
  readonly uses: readonly Use[]
  readonly ends: readonly End[]
  /** The store may have forgotten something about it. */
  readonly isShaken: boolean
}

const rules: readonly (readonly [Rule, (story: Story) => readonly Seen[]])[] = [
  ['one-successor', otherSuccessors],
  ['spent-token', spentTokens],
  ['late-replay', lateReplays],
  ['ended', livesAfterEnd],
  ['refused-family', livesAfterRefusal],
  ['honest', honestRefused]
]

const isTaken = ({ status }: { readonly status: number }): boolean => status === 200

function otherSuccessors({ session, refreshes }: Story): readonly Seen[] {
  const successors = new Map<number, string>()
  return refreshes.filter(isTaken).filter(({ generation, given }) => {
    if (given === undefined || given.session !== session || given.generation !== generation + 1) return true
    const known = successors.get(generation)
    successors.set(generation, known ?? given.token)
    return known !== undefined && known !== given.token
  })
}

/** After a lost write the store knows an older generation, and takes a token twice: that is documented. */
function spentTokens({ refreshes, isShaken }: Story): readonly Seen[] {
  if (isShaken) return []
  const found: Seen[] = []
  const taken = refreshes.filter(isTaken)
  // In the order of their answers: what was answered before another began has happened before it.
  const answered = [...taken].sort((a, b) => a.to - b.to)
  let next = 0
  let newest = -1
  for (const refresh of taken) {
    for (; next < answered.length && answered[next]!.to < refresh.from; next += 1) {
      newest = Math.max(newest, answered[next]!.generation)
    }
    if (refresh.generation < newest) found.push(refresh)
  }
  return found
}

function lateReplays({ refreshes, uses, bounds, faults, isShaken }: Story): readonly Seen[] {
  if (isShaken) return []
  const firstAnswers = new Map<number, number>()
  for (const { generation, to } of refreshes.filter(isTaken)) {
    firstAnswers.set(generation, Math.min(to, firstAnswers.get(generation) ?? Number.POSITIVE_INFINITY))
  }
  const arrived = uses.filter(isTaken)
  return refreshes.filter(isTaken).filter((refresh) => {
    const since = refresh.from - firstAnswers.get(refresh.generation)!
    if (since > Math.max(bounds.grace, bounds.unconfirmed)) return true
    if (since <= bounds.grace) return false
    // A gateway knows for itself what it has seen, unless it was restarted since.
    return arrived.some(
      ({ node, generation, to }) =>
        node === refresh.node &&
        generation === refresh.generation + 1 &&
        to < refresh.from &&
        !faults.some(({ what, from, to: until }) => what === 'restart' && from < refresh.from && until > to)
    )
  })
}

function livesAfterEnd({ ends, refreshes, uses, bounds, faults }: Story): readonly Seen[] {
  return ends
    .filter(({ status }) => status === 204 || status === 202)
    .flatMap(({ node, to, status }) => {
      const heard = pushed(to + bounds.propagation, faults, bounds)
      // The store says no at once, except while it may have forgotten.
      const lost = faults.filter(({ what, to: until }) => what === 'lost-write' && until > to)
      const stands = lost.reduce((at, fault) => Math.max(at, fault.to + bounds.propagation), to)
      return [
        ...refreshes.filter((seen) => isTaken(seen) && seen.from > stands),
        ...uses.filter((seen) => {
          const by = seen.node === node ? to : status === 204 ? heard : Number.POSITIVE_INFINITY
          return isTaken(seen) && seen.from > by
        })
      ]
    })
}

function livesAfterRefusal({ refreshes, uses, bounds, faults, isShaken }: Story): readonly Seen[] {
  const refused = refreshes.filter(({ status }) => status === 400)
  if (refused.length === 0) return []
  const since = Math.min(...refused.map(({ to }) => to))
  const heard = pushed(since + bounds.propagation, faults, bounds)
  return [
    ...refreshes.filter((seen) => isTaken(seen) && !isShaken && seen.from > since),
    ...uses.filter((seen) => isTaken(seen) && seen.from > heard)
  ]
}

function honestRefused({ refreshes, uses, ends, isShaken }: Story): readonly Seen[] {
  if (isShaken) return []
  const disturbed = [...ends, ...refreshes.filter(({ who }) => who === 'thief')].map(({ from }) => from)
  const until = Math.min(Number.POSITIVE_INFINITY, ...disturbed)
  return [
    ...refreshes.filter(({ status, to }) => status === 400 && to < until),
    ...uses.filter(({ status, to }) => status === 401 && to < until)
  ]
}

/** A deadline that faults have moved: while the store or a gateway stood still, nobody could hear. */
function pushed(deadline: number, faults: readonly Fault[], { propagation }: Bounds): number {
  return faults.reduce((at, { from, to }) => (from < at ? Math.max(at, to + propagation) : at), deadline)
}
