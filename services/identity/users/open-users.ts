import { resolve } from 'node:path'
import { FileUsers } from './file-users.ts'
import { HttpUsers } from './http-users.ts'
import type { UsersOptions } from './slice.ts'
import type { UserSource } from './source.ts'

/** The users of a config; undefined where nobody can sign in. */
export async function openUsers(
  options: UsersOptions | undefined,
  { directory, warn }: { readonly directory: string; readonly warn: (sentence: string) => void }
): Promise<UserSource | undefined> {
  switch (options?.driver) {
    case 'file':
      return FileUsers.open(resolve(directory, options.path), warn)
    case 'http':
      return new HttpUsers(options)
    default:
      return undefined
  }
}
