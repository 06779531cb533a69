import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { NewAlgorithm } from '../../services/identity/keys/signing-key.ts'
import { say } from '../say.ts'

/** `toll key ls|rotate`: the keys that sign tokens. Running gateways read the file again by themselves. */
export function keyCommand(program: Command): void {
  const key = program.command('key').description('list and rotate the signing keys (auth.keys)')

  key
    .command('ls')
    .description('list the keys and their states')
    .option('--json', 'print the list as JSON')
    .action(async ({ json }: { json?: boolean }, command: Command) => {
      const { path } = await keySettings(command)
      const { readKeyFile } = await import('../../services/identity/keys/key-file.ts')
      const { stateOf, signFromOf } = await import('../../services/identity/keys/key-record.ts')
      const keys = await readKeyFile(path)
      const now = Date.now()
      const rows = keys.map((record) => ({
        kid: record.kid,
        use: record.use,
        alg: record.alg,
        state: stateOf(record, keys, now),
        signFrom: new Date(signFromOf(record)).toISOString(),
        verifyUntil: record.verifyUntil === undefined ? null : new Date(record.verifyUntil).toISOString()
      }))
      const lines = rows.map(({ kid, use, alg, state, verifyUntil }) =>
        [kid, use, alg, state, verifyUntil === null ? '' : `until ${verifyUntil}`].join('\t').trimEnd()
      )
      say(json, rows, lines.join('\n'))
    })

  key
    .command('rotate')
    .description(
      'make new keys; they sign once every gateway and verifier had time to read them, the first ones at once'
    )
    .option(
      '--now',
      'sign with them at once; verifiers with a cached key set may refuse tokens for 5 minutes'
    )
    .option('--json', 'print the answer as JSON')
    .action(async ({ now: atOnce, json }: { now?: boolean; json?: boolean }, command: Command) => {
      const { path, accessLife, refreshLife, algorithm } = await keySettings(command)
      const { readAhead, publishAhead, newKeys, rotateKeys, writeKeys } = await import(
        '../../services/identity/keys/key-file.ts'
      )
      const now = Date.now()
      if (!existsSync(path)) {
        // Keys to be handed out to several gateways, before any of them runs.
        const { createFile } = await import('../../services/identity/files/private-file.ts')
        const first = newKeys(now, algorithm)
        await createFile(path, writeKeys(first))
        const kids = first.map(({ kid }) => kid)
        say(
          json,
          { kids, signFrom: new Date(now).toISOString() },
          `${path} has the first keys, and they sign.`
        )
        return
      }
      const signFrom = now + (atOnce === true ? readAhead : publishAhead)
      const keys = await rotateKeys(path, { now, signFrom, accessLife, refreshLife, algorithm })
      const kids = keys.filter((record) => record.signFrom === signFrom).map(({ kid }) => kid)
      const since = new Date(signFrom).toISOString()
      say(json, { kids, signFrom: since }, `New keys ${kids.join(' and ')} sign from ${since} on.`)
    })
}

interface KeySettings {
  readonly path: string
  readonly accessLife: number
  readonly refreshLife: number
  readonly algorithm: NewAlgorithm
}

async function keySettings(command: Command): Promise<KeySettings> {
  const { loadGatewayConfig } = await import('../../app.ts')
  const { configPath } = await import('../config-path.ts')
  const { toMilliseconds } = await import('../../config/units.ts')
  const { value, directory } = await loadGatewayConfig(configPath(command))
  if (value.auth === undefined) throw new Error('the config has no "auth", so there are no keys.')
  const margin = 60_000
  return {
    path: resolve(directory, value.auth.keys.path),
    accessLife: toMilliseconds(value.auth.access) + margin,
    refreshLife: toMilliseconds(value.auth.refresh) + margin,
    algorithm: value.auth.keys.algorithm
  }
}
