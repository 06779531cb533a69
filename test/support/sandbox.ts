import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { root } from './console.ts'
import { freePorts } from './ports.ts'

export interface Sandbox {
  readonly directory: string
  /** What a document says -> what it is here: ports, and how the command is called. */
  readonly replace: Readonly<Record<string, string>>
  /** The address that a document means by "127.0.0.1:8080". */
  at(address: string): string
}

/**
 * A copy of files of the repository in a directory of their own, with free ports in its config, so that documents can
 * be followed to the letter, several at a time. `more` are addresses that a document names and the config does not.
 */
export async function makeSandbox(
  t: { teardown(handler: () => void): void },
  files: Readonly<Record<string, string>>,
  more: readonly string[] = []
): Promise<Sandbox> {
  const directory = mkdtempSync(join(tmpdir(), 'toll-sandbox-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
  for (const [from, to] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, to)), { recursive: true })
    cpSync(join(root, from), join(directory, to), { recursive: true })
  }

  const config = join(directory, 'gateway.config.json')
  let text = readFileSync(config, 'utf8')
  const addresses = [...new Set([...(text.match(/127\.0\.0\.1:\d+/g) ?? []), ...more])]
  const ports = await freePorts(addresses.length)
  const replace: Record<string, string> = { 'npx toll': `node ${root}build/bin/toll.js` }
  for (const [index, address] of addresses.entries()) {
    replace[address] = `127.0.0.1:${ports[index]}`
    replace[`node ${address.split(':')[1]}`] = `node ${ports[index]}`
  }
  for (const address of addresses) text = text.replaceAll(address, replace[address]!)
  writeFileSync(config, text)
  return { directory, replace, at: (address) => replace[address] ?? address }
}
