import { open, rename, rm, stat } from 'node:fs/promises'

/** Milliseconds after which whoever was renaming is not there any more. */
const longest = 60_000

/**
 * Renames PATH to PATH.1, PATH.1 to PATH.2 and so on, and removes what is beyond `keep`, where PATH has no room for `more` bytes below
 * `maxSize`. One process at a time: two would rename each other's files away. Who finds another at it leaves it to them.
 */
export async function rotate(
  path: string,
  { keep, maxSize, more }: { readonly keep: number; readonly maxSize: number; readonly more: number }
): Promise<void> {
  const lock = `${path}.rotating`
  try {
    await (await open(lock, 'wx', 0o640)).close()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    await removeLeft(lock)
    return
  }
  try {
    // Somebody else may have been a moment faster.
    if ((await sizeOf(path)) + more > maxSize) await shift(path, keep)
  } finally {
    await rm(lock, { force: true })
  }
}

async function shift(path: string, keep: number): Promise<void> {
  await rm(`${path}.${keep}`, { force: true })
  for (let number = keep - 1; number >= 0; number -= 1) {
    const from = number === 0 ? path : `${path}.${number}`
    await rename(from, `${path}.${number + 1}`).catch(unlessMissing)
  }
}

/** A process that was killed while it renamed leaves its mark behind. */
async function removeLeft(lock: string): Promise<void> {
  const left = await stat(lock).catch(unlessMissing)
  if (left !== undefined && Date.now() - left.mtimeMs > longest) await rm(lock, { force: true })
}

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(unlessMissing))?.size ?? 0

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
