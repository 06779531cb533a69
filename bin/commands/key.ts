import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Rotation } from '../../services/identity/keys/key-file.ts'
import type { NewAlgorithm } from '../../services/identity/keys/signing-key.ts'
import { say } from '../say.ts'

/** `toll key ls|rotate|revoke`: the keys that sign tokens. Running gateways read the file again by themselves. */
export function keyCommand(program: Command): void {
  const key = program.command('key').description('list, rotate and revoke the signing keys (auth.keys)')

  key
    .command('ls')
    .description('list the keys and their states')
    .option('--json', 'print the list as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { path } = await keySettings(command)
      const { readKeyFile } = await import('../../services/identity/keys/key-file.ts')
      const { reportOf } = await import('../../services/identity/keys/key-record.ts')
      const keys = await readKeyFile(path)
      const now = Date.now()
      const rows = keys.map((record) => reportOf(record, keys, now))
      const lines = rows.map(({ kid, use, alg, state, signFrom, verifyUntil, revokedAt }) => {
        const since = state === 'next' ? `from ${signFrom}` : ''
        const until = verifyUntil === null ? '' : `until ${verifyUntil}`
        const when = revokedAt === null ? [since, until] : [`since ${revokedAt}`]
        return [kid, use, alg, state, when.filter((part) => part !== '').join(' ')].join('\t').trimEnd()
      })
      say(json, rows, lines.join('\n'))
    })

  key
    .command('rotate')
    .description(
      'make new keys; they sign once every gateway and verifier had time to read them, the first ones at once'
    )
    .option(
      '--now',
      'sign with them in three seconds, when every gateway has read them; services with a cached key set may refuse tokens for 5 minutes'
    )
    .option('--ahead <duration>', 'sign with them after this time instead of 330s, at least 3s')
    .option('--algorithm <name>', 'what the new signing key is for, instead of auth.keys.algorithm')
    .option('--json', 'print the answer as JSON')
    .action(async (options: RotateOptions, command: Command) => {
      const { json } = options
      const { path, ...lives } = await keySettings(command)
      const { newKeys, rotateKeys, writeKeys } = await import('../../services/identity/keys/key-file.ts')
      const algorithm = await algorithmOf(options.algorithm, lives.algorithm)
      const now = Date.now()
      if (!existsSync(path)) {
        // Keys to be handed out to several gateways, before any of them runs.
        const { createFile } = await import('../../services/identity/files/private-file.ts')
        const first = newKeys(now, algorithm, lives.perUser)
        await createFile(path, writeKeys(first))
        const kids = first.map(({ kid }) => kid)
        say(
          json,
          { kids, signFrom: new Date(now).toISOString() },
          `${path} has the first keys, and they sign.`
        )
        return
      }
      const signFrom = now + (await aheadOf(options))
      const rotation: Rotation = { ...lives, now, signFrom, algorithm }
      const keys = await rotateKeys(path, rotation)
      const kids = keys.filter((record) => record.signFrom === signFrom).map(({ kid }) => kid)
      const since = new Date(signFrom).toISOString()
      say(json, { kids, signFrom: since }, `New keys ${kids.join(' and ')} sign from ${since} on.`)
    })

  key
    .command('revoke <kid>')
    .description('void everything a stolen key has signed, in every gateway at once and for good')
    .option('--json', 'print the answer as JSON')
    .action(async (kid: string, { json }: { json?: boolean }, command: Command) => {
      const { adminRequest } = await import('../admin-client.ts')
      const path = `/admin/keys/${encodeURIComponent(kid)}`
      const answer = (await adminRequest(command, 'DELETE', path)) as {
        propagated: boolean
        written: boolean
      }
      const lines = [`Revoked ${kid}.`]
      if (!answer.propagated) lines.push('The store does not answer: other gateways hear of it once it does.')
      if (!answer.written) lines.push('The key file cannot be written: take the key out where it comes from.')
      say(json, answer, lines.join('\n'))
    })
}

interface RotateOptions {
  readonly now?: boolean
  readonly ahead?: string
  readonly algorithm?: string
  readonly json?: boolean
}

interface KeySettings extends Pick<Rotation, 'accessLife' | 'refreshLife'> {
  readonly path: string
  readonly perUser: boolean
  readonly algorithm: NewAlgorithm
}

async function keySettings(command: Command): Promise<KeySettings> {
  const { loadGatewayConfig } = await import('../../app.ts')
  const { configPath } = await import('../config-path.ts')
  const { keyLives } = await import('../../services/identity/keys/key-lives.ts')
  const { value, directory } = await loadGatewayConfig(configPath(command))
  if (value.auth === undefined) throw new Error('the config has no "auth", so there are no keys.')
  const { path, algorithm } = value.auth.keys
  const perUser = value.auth.signing === 'per-user'
  return { path: resolve(directory, path), algorithm, perUser, ...keyLives(value.auth) }
}

async function algorithmOf(name: string | undefined, fallback: NewAlgorithm): Promise<NewAlgorithm> {
  const { newAlgorithms } = await import('../../services/identity/keys/signing-key.ts')
  const found = newAlgorithms.find((algorithm) => algorithm === (name ?? fallback))
  if (found !== undefined) return found
  throw new Error(`"${name}" is not an algorithm for new keys; take one of ${newAlgorithms.join(', ')}.`)
}

/** Milliseconds until new keys sign. */
async function aheadOf({ now, ahead }: RotateOptions): Promise<number> {
  const { publishAhead, readAhead } = await import('../../services/identity/keys/key-file.ts')
  if (ahead === undefined) return now === true ? readAhead : publishAhead
  if (now === true) throw new Error('give --now or --ahead, not both.')
  const { toMilliseconds } = await import('../../config/units.ts')
  const wanted = /^\d{1,9}(ms|s|m|h|d)$/.test(ahead) ? toMilliseconds(ahead) : 0
  if (wanted < readAhead) throw new Error('--ahead is a duration of 3s or more, such as 10m.')
  return wanted
}
