import { rename, rm } from 'node:fs/promises'

/** Renames PATH to PATH.1, PATH.1 to PATH.2 and so on, and removes what is beyond `keep`. */
export async function rotate(path: string, keep: number): Promise<void> {
  await rm(`${path}.${keep}`, { force: true })
  for (let number = keep - 1; number >= 0; number -= 1) {
    const from = number === 0 ? path : `${path}.${number}`
    await rename(from, `${path}.${number + 1}`).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
  }
}
