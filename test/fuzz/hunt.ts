import { type AnswerCase, poison, printed } from './answer-case.ts'
import { madeAnswer } from './grammar.ts'
import { knownDifferences } from './known-differences.ts'
import { mutated } from './mutation.ts'
import { type Oracle, oracles, type Replay } from './oracles.ts'
import { readOwn, said } from './own-reader.ts'
import type { Random } from './random.ts'
import { difference, type Verdict } from './verdict.ts'

/** How long an oracle is listened to that has all bytes; and once more before anybody is blamed. */
const patience = 100
const lastPatience = 3000

export interface Judged {
  readonly one: AnswerCase
  readonly own: Verdict
  readonly complaints: readonly string[]
}

/** Counts of what came out, by class. */
export type Tally = Map<string, number>

export const nextCase = (random: Random, recorded: readonly AnswerCase[]): AnswerCase =>
  recorded.length > 0 && random.chance(0.35) ? mutated(random, random.pick(recorded)) : madeAnswer(random)

/** Has one answer read by everybody, and says what is wrong with how we read it. */
export async function judge(random: Random, one: AnswerCase, replay: Replay, tally: Tally): Promise<Judged> {
  const count = (key: string): void => void tally.set(key, (tally.get(key) ?? 0) + 1)
  const { verdict: own, complaint } = readOwn(random, one)
  const complaints: string[] = complaint === undefined ? [] : [complaint]
  if (own.kind === 'accepted' && own.body.includes(poison) && !isMeant(one)) count('own: poison in a body')
  count(`own: ${said(own)}`)
  const path = replay.add(one)
  for (const oracle of oracles) {
    let theirs = await oracle.read(replay.port, path, one.method, patience)
    let found = compare(own, theirs)
    if (found.complaint !== undefined && theirs.kind === 'waiting') {
      theirs = await oracle.read(replay.port, path, one.method, lastPatience)
      found = compare(own, theirs)
    }
    const known = found.complaint === undefined ? undefined : knownOf(one, oracle, theirs)
    count(`${oracle.name}: ${known ?? found.name}`)
    if (found.complaint !== undefined && known === undefined)
      complaints.push(`${oracle.name}: ${found.complaint}`)
  }
  replay.remove(path)
  return { one, own, complaints }
}

function compare(own: Verdict, theirs: Verdict): { name: string; complaint: string | undefined } {
  if (own.kind === 'accepted' && theirs.kind === 'accepted') {
    const complaint = difference(own, theirs)
    return {
      name: complaint === undefined ? 'both accept the same' : 'both accept, but not the same',
      complaint
    }
  }
  if (theirs.kind === 'accepted') return { name: `we are stricter (${said(own)})`, complaint: undefined }
  if (own.kind !== 'accepted') return { name: 'neither accepts', complaint: undefined }
  // Whoever leaves bytes unread, with their connection, need not be blamed for them.
  if (own.hasExcess) return { name: 'we leave bytes unread', complaint: undefined }
  return {
    name: 'we are laxer',
    complaint: `we accept ${own.status} ${JSON.stringify(own.body.slice(0, 100))}, they: ${said(theirs)}`
  }
}

const knownOf = (one: AnswerCase, oracle: Oracle, theirs: Verdict): string | undefined => {
  const found = knownDifferences.find((known) => known.applies(one, oracle.name, theirs))
  return found && `known: ${found.name}`
}

/** A body until the connection's end is whatever comes. */
const isMeant = ({ isClosed, bytes }: AnswerCase): boolean => isClosed || !/^content-length/im.test(bytes)

export const complaintOf = ({ one, own, complaints }: Judged): string =>
  `${printed(one)}\n  we: ${said(own)}\n  ${complaints.join('\n  ')}`
