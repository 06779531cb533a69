import { readFile, stat } from 'node:fs/promises'
import { replaceFile, withLock } from '../files/private-file.ts'
import { isMissing } from '../files/watched-file.ts'
import { type ApiKeyRecord, parseKeyList, writeKeyList } from './key-list.ts'
import { hashSecret, makeKeyText } from './key-text.ts'

export interface NewKey {
  readonly owner: string
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
  /** Milliseconds since the epoch. */
  readonly expires: number | undefined
  readonly note: string | undefined
}

/** A key that was just made: the only moment its text is known. */
export interface MadeKey {
  readonly text: string
  readonly record: ApiKeyRecord
}

/** Reads the keys of a file; none when it is not there yet. */
export async function readKeyList(path: string): Promise<readonly ApiKeyRecord[]> {
  try {
    const { mode } = await stat(path)
    return parseKeyList(path, await readFile(path, 'utf8'), mode)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

export function addKey(
  path: string,
  { owner, scopes, roles, expires, note }: NewKey,
  now: number
): Promise<MadeKey> {
  return edit(path, (keys) => {
    const made = make(now, {
      owner,
      scopes: [...scopes],
      ...(roles.length > 0 && { roles: [...roles] }),
      ...(expires !== undefined && { expires: iso(expires) }),
      ...(note !== undefined && { note })
    })
    return [[...keys, made.record], made]
  })
}

/**
 * Makes a successor with the same owner, scopes, roles and note. The old key stays good for `overlap` more milliseconds, and never
 * longer than it would have been. Where the old one had an end, the new one lives as long as it did, unless `expires` says otherwise.
 */
export function rotateKey(
  path: string,
  id: string,
  { overlap, expires }: { readonly overlap: number; readonly expires: number | undefined },
  now: number
): Promise<MadeKey & { readonly old: ApiKeyRecord }> {
  return edit(path, (keys) => {
    const before = known(path, keys, id)
    const { owner, scopes, roles, note } = before
    const life =
      before.expires === undefined ? undefined : Date.parse(before.expires) - Date.parse(before.created)
    const end = expires ?? (life === undefined ? undefined : now + life)
    const made = make(now, {
      owner,
      scopes,
      ...(roles !== undefined && { roles }),
      ...(end !== undefined && { expires: iso(end) }),
      ...(note !== undefined && { note })
    })
    const limit = now + overlap
    const old = { ...before, expires: iso(Math.min(limit, Date.parse(before.expires ?? iso(limit)))) }
    return [[...keys.map((key) => (key === before ? old : key)), made.record], { ...made, old }]
  })
}

export function removeKey(path: string, id: string): Promise<ApiKeyRecord> {
  return edit(path, (keys) => {
    const gone = known(path, keys, id)
    return [keys.filter((key) => key !== gone), gone]
  })
}

type Keys = readonly ApiKeyRecord[]

function make(now: number, fields: Omit<ApiKeyRecord, 'id' | 'hash' | 'created'>): MadeKey {
  const { id, secret, text } = makeKeyText()
  const hash = hashSecret(secret).toString('base64url')
  const { owner, ...rest } = fields
  return { text, record: { id, hash, owner, created: iso(now), ...rest } }
}

function known(path: string, keys: Keys, id: string): ApiKeyRecord {
  const record = keys.find((key) => key.id === id)
  if (record === undefined)
    throw new Error(`there is no API key "${id}" in ${path}; "toll apikey ls" lists them.`)
  return record
}

const iso = (time: number): string => new Date(time).toISOString()

/** What is written is read the way the gateway reads it first: an owner or scope it would refuse never gets into the file. */
function edit<Result>(path: string, change: (keys: Keys) => readonly [Keys, Result]): Promise<Result> {
  return withLock(path, async () => {
    const [keys, result] = change(await readKeyList(path))
    const text = writeKeyList(keys)
    parseKeyList(path, text, 0)
    await replaceFile(path, text)
    return result
  })
}
