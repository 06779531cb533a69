import { randomBytes } from 'node:crypto'
import { chmod, link, mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const lockTimeout = 10_000
const staleLock = 30_000

/** Replaces a file whole, readable by its owner only: readers see the old one or the new one, never a part. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const mode = await stat(path).then(
    (found) => found.mode & 0o770,
    () => 0o600
  )
  const temporary = await writeBeside(path, text, mode)
  try {
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** Makes a file that is not there yet. False when somebody else was first; theirs is left as it is. */
export async function createFile(path: string, text: string): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = await writeBeside(path, text, 0o600)
  try {
    // link(2) fails when the name is taken, and what it makes is complete from the first moment.
    await link(temporary, path)
    return true
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'EEXIST') return false
    // A file system without links: still exclusive, but whoever looks in this very moment sees a part.
    if (code === 'EPERM' || code === 'ENOTSUP' || code === 'ENOSYS') return writeExclusive(path, text)
    throw error
  } finally {
    await rm(temporary, { force: true })
  }
}

/**
 * Runs one change of a file at a time, over all processes: what `change` reads nobody else replaces before it has written.
 * A lock that a killed process left is taken over after a while.
 */
export async function withLock<Result>(path: string, change: () => Promise<Result>): Promise<Result> {
  const lock = `${path}.lock`
  const deadline = Date.now() + lockTimeout
  while (!(await takeLock(path, lock))) {
    const age = Date.now() - (await stat(lock).then(({ mtimeMs }) => mtimeMs, Date.now))
    if (age > staleLock) await rm(lock, { force: true })
    else if (Date.now() > deadline) throw new Error(`${path} is being changed by somebody else; try again.`)
    else await sleep(20 + Math.random() * 30)
  }
  try {
    return await change()
  } finally {
    await rm(lock, { force: true })
  }
}

async function takeLock(path: string, lock: string): Promise<boolean> {
  try {
    return await createFile(lock, `${process.pid}\n`)
  } catch (error) {
    const reason = reasons[(error as { code?: string }).code ?? '']
    if (reason === undefined) throw error
    throw new Error(`${path} cannot be changed: ${reason}.`, { cause: error })
  }
}

/** Why nothing can be put beside a file: a name that nobody has chosen is no help. */
const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write to its directory',
  EPERM: 'this user may not write to its directory',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of its path is a file'
}

async function writeExclusive(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { mode: 0o600, flag: 'wx' })
    return true
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return false
    throw error
  }
}

async function writeBeside(path: string, text: string, mode: number): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(temporary, 'wx', mode)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await chmod(temporary, mode)
  return temporary
}
