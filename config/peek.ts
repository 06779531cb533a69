import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { interpolate } from './interpolate.ts'
import { Pace } from './pace.ts'
import { readSource } from './read.ts'

/** One key of a config file, before anything of it is checked. Undefined where it cannot be read: whoever loads the config tells why. */
export async function peek(path: string, key: string): Promise<unknown> {
  try {
    const source = await readSource(path, await readFile(path, 'utf8'), new Pace())
    const { value } = await interpolate(source, { env: process.env, directory: dirname(resolve(path)) })
    return (value as Readonly<Record<string, unknown>>)[key]
  } catch {
    return undefined
  }
}
