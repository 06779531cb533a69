import { resolve } from 'node:path'
import type { Command } from 'commander'
import { say } from '../say.ts'

interface AddOptions {
  readonly scopes?: readonly string[]
  readonly roles?: readonly string[]
  readonly expires?: string
  readonly note?: string
  readonly json?: boolean
}

interface RotateOptions {
  readonly overlap: string
  readonly expires?: string
  readonly json?: boolean
}

const list = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  ...value.split(/[\s,]+/).filter((part) => part !== '')
]

/** `toll apikey add|ls|rotate|rm`: edits the file of API keys that the config names; running gateways take it over within a second. */
export function apikeyCommand(program: Command): void {
  const apikey = program
    .command('apikey')
    .description('make, list, rotate and remove API keys (auth.apiKeys)')

  apikey
    .command('add <owner>')
    .description('make a key; it is shown once and kept nowhere')
    .option('--scopes <scopes>', 'what it may be used for, such as "orders:read,orders:write"', list)
    .option('--roles <roles>', 'roles of its owner, for rules of services', list)
    .option('--expires <time>', 'how long it is good, such as 90d; without it until it is removed')
    .option('--note <text>', 'what it is for')
    .option('--json', 'print the answer as JSON')
    .action(async (owner: string, options: AddOptions, command: Command) => {
      const { scopes = [], roles = [], expires, note, json } = options
      const { addKey } = await import('../../services/identity/api-keys/key-editing.ts')
      const path = await keysPath(command)
      const now = Date.now()
      const end = expires === undefined ? undefined : now + (await milliseconds('--expires', expires))
      const made = await addKey(path, { owner, scopes, roles, expires: end, note }, now)
      const { hash: _, ...shown } = made.record
      tell(
        json,
        made.text,
        shown,
        `The key ${shown.id} of "${owner}" is in ${path}. Keep its text now: it is shown once.`
      )
    })

  apikey
    .command('ls')
    .description('list the keys, never their text')
    .option('--json', 'print the list as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { readKeyList } = await import('../../services/identity/api-keys/key-editing.ts')
      const { stateOf } = await import('../../services/identity/api-keys/key-list.ts')
      const now = Date.now()
      const keys = await readKeyList(await keysPath(command))
      const rows = keys.map(({ hash: _, ...key }) => ({ ...key, state: stateOf(key, now) }))
      const lines = rows.map(({ id, owner, scopes, state, expires, note }) =>
        [id, owner, scopes.join(' ') || '-', state, expires ?? '-', note ?? ''].join('\t').trimEnd()
      )
      say(json, rows, lines.length === 0 ? 'There are no API keys.' : lines.join('\n'))
    })

  apikey
    .command('rotate <id>')
    .description('make a successor of a key; the old one stays good for a while')
    .option('--overlap <time>', 'how long the old key stays good; 0s for not at all', '7d')
    .option('--expires <time>', 'how long the new key is good; as long as the old one was, when left out')
    .option('--json', 'print the answer as JSON')
    .action(async (id: string, { overlap, expires, json }: RotateOptions, command: Command) => {
      const { rotateKey } = await import('../../services/identity/api-keys/key-editing.ts')
      const path = await keysPath(command)
      const now = Date.now()
      const times = {
        overlap: await milliseconds('--overlap', overlap),
        expires: expires === undefined ? undefined : now + (await milliseconds('--expires', expires))
      }
      const { text, record, old } = await rotateKey(path, id, times, now)
      const { hash: _, ...shown } = record
      const answer = { ...shown, replaces: id, replacedUntil: old.expires }
      tell(
        json,
        text,
        answer,
        `The key ${record.id} replaces ${id}, which is good until ${old.expires}. It is shown once.`
      )
    })

  apikey
    .command('rm <id>')
    .description('remove a key; running gateways refuse it within a second')
    .option('--json', 'print the answer as JSON')
    .action(async (id: string, { json }: { json?: boolean }, command: Command) => {
      const { removeKey } = await import('../../services/identity/api-keys/key-editing.ts')
      const { owner } = await removeKey(await keysPath(command), id)
      say(json, { id, owner }, `Removed the key ${id} of "${owner}".`)
    })
}

/** The key alone on standard output, so that scripts can take it; what is to be said about it beside. */
function tell(json: boolean | undefined, key: string, record: object, sentence: string): void {
  if (json !== true) process.stderr.write(`${sentence}\n`)
  say(json, { key, ...record }, key)
}

async function milliseconds(option: string, value: string): Promise<number> {
  const { toMilliseconds } = await import('../../config/units.ts')
  if (/^(0|[1-9][0-9]{0,5})(ms|s|m|h|d)$/.test(value)) return toMilliseconds(value)
  throw new Error(`${option} is a number with ms, s, m, h or d behind it, such as 90d; not "${value}".`)
}

async function keysPath(command: Command): Promise<string> {
  const { loadGatewayConfig } = await import('../../app.ts')
  const { configPath } = await import('../config-path.ts')
  const { value, directory } = await loadGatewayConfig(configPath(command))
  const apiKeys = value.auth?.apiKeys
  if (apiKeys === undefined) {
    throw new Error('the config takes no API keys; add "auth": { "apiKeys": { "path": "api-keys.json" } }.')
  }
  return resolve(directory, apiKeys.path)
}
