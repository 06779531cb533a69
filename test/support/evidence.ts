import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './console.ts'

/**
 * What gateways wrote and told during the tests, and the secrets that went to and fro meanwhile: `test/leaks.ts` looks for these in
 * those when all is over. Kept only where the set-up has made room for it.
 */
export const evidenceRoom = join(root, 'build/evidence')

const hasRoom = existsSync(evidenceRoom)

/** Keeps what anybody may read who reads logs, metrics, traces, problems or the admin API. */
export function keep(text: string): void {
  write('texts', text)
}

/** What must not be in it, but for what may be anywhere: short words, one letter many times, ids of sessions, which open nothing. */
export function keepSecret(secret: unknown): void {
  if (typeof secret !== 'string' || secret.length < 12 || known.has(secret)) return
  if (/[\n\0]|^(.)\1*$|^[\w-]{34}$/.test(secret)) return
  known.add(secret)
  write('secrets', secret)
}

const known = new Set<string>()

/** By the names that they have on the wire. */
export function keepSecretsIn(body: unknown): void {
  if (typeof body !== 'object' || body === null) return
  for (const [name, value] of Object.entries(body)) if (names.test(name)) keepSecret(value)
}

const names = /^(access_token|refresh_token|password|client_secret|secret)$/

/** What a config has where the schema says that it is secret, as far as it stands there itself. */
export function keepSecretsOf({ plain, redacted }: { plain: unknown; redacted: unknown }): void {
  if (typeof plain === 'string') {
    if (plain === redacted || plain.startsWith('${')) return
    keepSecret(redacted === '[secret]' ? plain : /:([^:@/]+)@/.exec(plain)?.[1])
  } else if (typeof plain === 'object' && plain !== null) {
    const masked = (redacted ?? {}) as Readonly<Record<string, unknown>>
    for (const [key, value] of Object.entries(plain)) keepSecretsOf({ plain: value, redacted: masked[key] })
  }
}

/** What a gateway has written into its directory: logs of its sinks, the token and the keys that it made. */
export function keepFilesOf(directory: string): void {
  if (!hasRoom || !existsSync(directory)) return
  const own = ['.toll/admin-token', '.toll/keys.json'].filter((name) => existsSync(join(directory, name)))
  for (const name of own) {
    const text = readFileSync(join(directory, name), 'utf8')
    if (name.endsWith('-token')) keepSecret(text.trim())
    else for (const [, secret] of text.matchAll(/"(?:d|k|secret)":\s*"([^"]+)"/g)) keepSecret(secret)
  }
  for (const folder of [directory, join(directory, 'logs')].filter((path) => existsSync(path))) {
    for (const name of readdirSync(folder).filter((one) => /\.(log|ndjson)(\.\d+)?$/.test(one)))
      keep(readFileSync(join(folder, name), 'utf8'))
  }
}

function write(kind: 'texts' | 'secrets', text: string): void {
  if (hasRoom && text !== '') appendFileSync(join(evidenceRoom, `${process.pid}.${kind}`), `${text}\n`)
}
