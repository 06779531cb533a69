import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What the demo is made of, as it lies in the package. */
const files = ['gateway.config.json', 'gateway.schema.json', 'examples/demo']

/** The config of `toll demo` in a directory that has none: a copy of the package's own, to play with. */
export const demoConfig = '.toll/demo/gateway.config.json'

/** The users of the demo. Their passwords are published. */
const demoUsers = /(^|[\\/])examples[\\/]demo[\\/]users\.json$/

/** Puts the demo into `.toll/demo`, unless it is there already, and returns the path of its config. */
export function placeDemo(): string {
  const target = resolve(demoConfig)
  if (existsSync(target)) return target
  const from = fileURLToPath(new URL('../../', import.meta.url))
  const to = dirname(target)
  mkdirSync(to, { recursive: true, mode: 0o700 })
  // The config last: where it is, the rest is too.
  for (const file of files.toReversed())
    if (existsSync(join(from, file))) cpSync(join(from, file), join(to, file), { recursive: true })
  return target
}

/** Whether a config lets in users whose passwords everybody knows. */
export function hasDemoUsers(config: object): boolean {
  const { auth } = config as { readonly auth?: { readonly users?: { readonly path: string } } }
  return demoUsers.test(auth?.users?.path ?? '')
}
