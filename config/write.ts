import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { access, lstat, open, readFile, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { ConfigUnwritable, Conflict } from '../errors.ts'

/**
 * Puts another text into a config file, whole or not at all: beside it, then renamed over it, mode and owner kept. `expected` is what
 * the file has to hold still; undefined takes whatever is there. Rejects with a problem, and then nothing has changed.
 */
export async function replaceConfig(path: string, text: string, expected: string | undefined): Promise<void> {
  try {
    const found = await lstat(path)
    if (found.isSymbolicLink()) {
      throw Conflict(
        [
          'The config file is a link, as a ConfigMap or a release script makes it: change it where it comes from.'
        ],
        { reason: 'config_link' }
      )
    }
    await access(path, constants.W_OK)
    if (expected !== undefined && plain(await readFile(path, 'utf8')) !== expected) {
      throw Conflict(
        [
          'The config file was changed and does not serve yet: have it read with POST /admin/config/reload, or send "If-Match: *" to write over it.'
        ],
        { reason: 'config_unread' }
      )
    }
    await writeWhole(path, text, found)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    const sentence = sentences[code]
    if (sentence === undefined) throw error
    throw ConfigUnwritable([sentence], { reason: 'config_unwritable', cause: error })
  }
}

const sentences: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write it or its directory',
  EBUSY: 'it is mounted by itself; mount its directory instead',
  EDQUOT: 'there is no space left',
  ENOENT: 'it is gone',
  ENOSPC: 'there is no space left',
  EPERM: 'this user may not write it or its directory',
  EROFS: 'it is on a read-only file system'
}

/** The loader reads past a byte order mark as well. */
const plain = (text: string): string => (text.startsWith('\uFEFF') ? text.slice(1) : text)

/** Writes a file whole or not at all, and on the disk before it is there under its name. */
export async function writeWhole(
  path: string,
  text: string,
  { mode, uid, gid }: { readonly mode: number; readonly uid?: number; readonly gid?: number }
): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  try {
    const file = await open(beside, 'wx', 0o600)
    try {
      await file.writeFile(text)
      // Who may not give files away owns what was written, as with every editor.
      if (uid !== undefined && gid !== undefined) await file.chown(uid, gid).catch(() => {})
      await file.chmod(mode & 0o7777)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, path)
  } catch (error) {
    await rm(beside, { force: true })
    throw error
  }
  const directory = await open(dirname(path), 'r')
  await directory.sync().catch(() => {})
  await directory.close()
}
