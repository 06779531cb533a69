import { randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { replaceFile, withLock } from '../files/private-file.ts'
import { activeOf, isUsable, type KeyRecord, type KeyUse, parseKeyFile } from './key-record.ts'
import { generateKey, type NewAlgorithm } from './signing-key.ts'

/** A key signs from here on after `rotate`: every gateway has read the file and every verifier the JWKS by then. */
export const publishAhead = 330_000
/** The same when only the gateways matter, which look at the file every second. */
export const readAhead = 3000
/** Milliseconds a revoked key stays in the file. */
const revokedShown = 30 * 24 * 3_600_000

export interface Rotation {
  readonly now: number
  /** When the new keys start to sign. */
  readonly signFrom: number
  /** Milliseconds a token signed by an old key may still be shown. */
  readonly accessLife: number
  readonly refreshLife: number
  /** What the new signing key is for. */
  readonly algorithm?: NewAlgorithm
  /** Whether users have keys of their own; a master secret that is there is succeeded in any case. */
  readonly perUser?: boolean
}

export const writeKeys = (keys: readonly KeyRecord[]): string => `${JSON.stringify({ keys }, null, 2)}\n`

export const newKeys = (
  now: number,
  algorithm: NewAlgorithm = 'ES256',
  perUser = false
): readonly KeyRecord[] => [
  newKey('sig', now, algorithm),
  newKey('refresh', now),
  newKey('user-hash', now),
  ...(perUser ? [newKey('per-user', now)] : [])
]

/** Adds a master secret for the keys of users to a file that has none in force. Of several gateways that ask at once one does. */
export async function addMaster(path: string, now: number): Promise<void> {
  const lacks = (records: readonly KeyRecord[]): boolean => activeOf(records, 'per-user', now) === undefined
  if (!lacks(await readKeyFile(path))) return
  await withLock(path, async () => {
    const records = await readKeyFile(path)
    if (lacks(records)) await replaceFile(path, writeKeys([...records, newKey('per-user', now)]))
  })
}

/** Adds new keys, gives the present ones an end, and drops those that have passed theirs. */
export function rotateKeys(path: string, rotation: Rotation): Promise<readonly KeyRecord[]> {
  const { now } = rotation
  return withLock(path, async () => {
    let records = (await readKeyFile(path)).filter((record) => !isPast(record, now))
    const perUser = rotation.perUser === true || records.some(({ use }) => use === 'per-user')
    const uses = ['sig', 'refresh', ...(perUser ? (['per-user'] as const) : [])] as const
    for (const use of uses) records = succeed(records, use, rotation)
    // Never another one while there is one: sessions in the store would not be found any more.
    if (activeOf(records, 'user-hash', now) === undefined) records = [...records, newKey('user-hash', now)]
    await replaceFile(path, writeKeys(records))
    return records
  })
}

/**
 * Writes into the file that a key is revoked. Who `replaces` it sees to a successor as well, so that one of several gateways
 * does: the key that was to be next signs now, or a new one does.
 */
export function markRevoked(
  path: string,
  kid: string,
  { replaces, ...rotation }: Omit<Rotation, 'signFrom'> & { readonly replaces: boolean }
): Promise<void> {
  const { now } = rotation
  return withLock(path, async () => {
    const before = await readKeyFile(path)
    const { use } = before.find((record) => record.kid === kid) ?? {}
    if (use === undefined || use === 'user-hash') return
    const wasActive = activeOf(before, use, now)?.kid === kid
    let records = before.map((record) =>
      record.kid === kid && record.revokedAt === undefined ? { ...record, revokedAt: now } : record
    )
    if (replaces) {
      const isNeededNow = wasActive || activeOf(records, use, now) === undefined
      const isHeir = (record: KeyRecord): boolean =>
        record.use === use && isUsable(record, now) && record.verifyUntil === undefined
      if (!records.some(isHeir)) {
        records = succeed(records, use, { ...rotation, signFrom: isNeededNow ? now : now + publishAhead })
      } else if (isNeededNow) {
        records = records.map((record) =>
          isHeir(record) ? { ...record, signFrom: Math.min(now, record.signFrom ?? 0) } : record
        )
      }
    }
    await replaceFile(path, writeKeys(records))
  })
}

/** The keys of a file, for commands; gateways follow it with a KeyRing. */
export async function readKeyFile(path: string): Promise<readonly KeyRecord[]> {
  const text = await readFile(path, 'utf8').catch(() => {
    throw new Error(`${path} cannot be read; "toll start" makes it.`)
  })
  return parseKeyFile(path, text, (await stat(path)).mode).records
}

/** Past its time. A revoked key stays a while, so that `toll key ls` can tell; without the file's word the store's would do. */
const isPast = ({ verifyUntil, revokedAt = 0 }: KeyRecord, now: number): boolean =>
  (verifyUntil !== undefined && verifyUntil <= now) || (revokedAt > 0 && revokedAt + revokedShown <= now)

/** With a new key for this use, and an end for those before it. */
function succeed(
  records: readonly KeyRecord[],
  use: Exclude<KeyUse, 'user-hash'>,
  rotation: Rotation
): KeyRecord[] {
  const { now, signFrom, accessLife, refreshLife, algorithm } = rotation
  const end = signFrom + (use === 'refresh' ? refreshLife : accessLife)
  const active = activeOf(records, use, now)
  const ended = records.map((record) => {
    if (record.use !== use || !isUsable(record, now)) return record
    // One that is to end already keeps its end, but not an earlier one than its successor allows.
    if (record.verifyUntil !== undefined && record !== active) return record
    return { ...record, verifyUntil: Math.max(end, record.verifyUntil ?? 0) }
  })
  return [...ended, newKey(use, signFrom, algorithm)]
}

function newKey(use: KeyUse, signFrom: number, algorithm: NewAlgorithm = 'ES256'): KeyRecord {
  const alg = use === 'sig' ? algorithm : 'HS256'
  return { ...generateKey(alg), kid: randomBytes(8).toString('hex'), alg, use, signFrom } as KeyRecord
}
