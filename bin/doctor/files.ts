import { access, constants, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { GatewayConfig } from '../../app.ts'
import { shownPath } from '../read-config.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Can the gateway write where it has to, and are its secrets its own? */
export async function* examineFiles({ value, directory }: GatewayConfig): AsyncIterable<Finding> {
  const { admin, auth, store } = value
  const at = (path: string): string => resolve(directory, path)
  const folders = new Set<string>()
  if (store.driver === 'embedded') folders.add(at(store.path))
  if (auth !== undefined) folders.add(dirname(at(auth.keys.path)))
  if (admin.token === undefined) folders.add(dirname(at(admin.tokenPath)))
  for (const folder of folders) yield await examineFolder(folder)

  if (auth !== undefined) yield* examineSecret('keys', at(auth.keys.path), 'the signing keys')
  if (admin.token === undefined) yield* examineSecret('token', at(admin.tokenPath), 'the admin token')
  if (auth?.users?.driver === 'file') yield* examineUsers(at(auth.users.path))
}

async function examineFolder(folder: string): Promise<Finding> {
  const existing = await nearestExisting(folder)
  const shown = shownPath(folder) || '.'
  try {
    await access(existing, constants.W_OK | constants.X_OK)
    return ok('files', existing === folder ? `${shown} is writable.` : `${shown} can be made.`)
  } catch {
    return fail(
      'files',
      `${shown} cannot be written by this user.`,
      `Give ${shownPath(existing) || '.'} to the user of the gateway, or name another path in the config.`
    )
  }
}

async function nearestExisting(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined)
  return found !== undefined || dirname(path) === path ? path : nearestExisting(dirname(path))
}

async function* examineSecret(name: string, path: string, what: string): AsyncIterable<Finding> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) return
  const mode = (found.mode & 0o777).toString(8)
  const shown = shownPath(path)
  yield (found.mode & 0o077) === 0
    ? ok(name, `${shown} is readable by its owner only.`)
    : fail(name, `${shown}, with ${what}, is open to others (mode ${mode}).`, `Run: chmod 600 ${shown}`)
}

async function* examineUsers(path: string): AsyncIterable<Finding> {
  const shown = shownPath(path)
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) {
    yield warn('users', `There is no users file ${shown}: nobody can sign in.`, 'Run: toll user add NAME')
  } else if ((found.mode & 0o002) !== 0) {
    yield fail('users', `${shown} can be written by everybody.`, `Run: chmod 600 ${shown}`)
  } else yield ok('users', `${shown} is there.`)
}
