import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { bounds } from './cluster.ts'
import { type Seen, toLines } from './history.ts'
import { judge } from './judge.ts'
import { record } from './record.ts'

/** That nothing was found says something only where something happened. */
const happenings: Readonly<Record<string, (seen: Seen) => boolean>> = {
  'the store stood still': (seen) => seen.kind === 'fault' && seen.what === 'stall',
  'a gateway was killed': (seen) => seen.kind === 'fault' && seen.what === 'restart',
  'an answer was lost': (seen) => seen.kind === 'refresh' && seen.status === 0,
  'a refresh was answered': (seen) => seen.kind === 'refresh' && seen.status === 200,
  'a thief was refused': (seen) => seen.kind === 'refresh' && seen.who === 'thief' && seen.status === 400,
  'a session was ended': (seen) => seen.kind === 'end' && seen.status === 204,
  'a dead access token was tried': (seen) => seen.kind === 'use' && seen.status === 401
}
const isEnough = (history: readonly Seen[]): boolean =>
  Object.values(happenings).every((is) => history.some(is))

/** `npm run check:histories` is the same for longer. */
for (const driver of ['redis', 'embedded'] as const) {
  t.test(`${driver}: what clients and thieves see under faults breaks no promise`, async (t) => {
    const { history } = await record(t, { driver, refreshes: 2500, within: 8000, isEnough })
    const violations = judge(history, bounds)
    if (violations.length > 0) {
      const path = join(tmpdir(), `toll-history-${driver}-${process.pid}.jsonl`)
      writeFileSync(path, toLines(history))
      t.comment(`the history is in ${path}`)
    }
    t.same(violations.slice(0, 5), [])
    for (const [name, is] of Object.entries(happenings)) t.ok(history.some(is), name)
  })
}
