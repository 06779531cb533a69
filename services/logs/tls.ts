import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { DeliveryError } from './delivery.ts'
import type { TLSOptions } from './tls-slice.ts'

/** What Node.js wants for a TLS connection. */
export interface TLSMaterial {
  readonly ca?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
  readonly servername?: string
}

/** Reads the files of a sink's `tls`; rejects with a DeliveryError where one cannot be read. */
export async function readTLS(options: TLSOptions | undefined, directory: string): Promise<TLSMaterial> {
  const { servername, ...paths } = options ?? {}
  const files = await Promise.all(
    Object.entries(paths).map(
      async ([name, path]) => [name, await read(name, resolve(directory, path))] as const
    )
  )
  return { ...Object.fromEntries(files), ...(servername !== undefined && { servername }) }
}

const read = (name: string, path: string): Promise<Buffer> =>
  readFile(path).catch(() => {
    throw new DeliveryError(`the file tls.${name} cannot be read`)
  })
