import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'

const names = ['gateway.config.json', 'gateway.config.jsonc', 'gateway.config.yaml', 'gateway.config.yml']

/** The config that `--config` names, else the first of the usual names here. Throws a sentence when there is none. */
export function configPath(command: Command): string {
  const { config } = command.optsWithGlobals<{ config?: string }>()
  const path = config === undefined ? names.map((name) => resolve(name)).find(existsSync) : resolve(config)
  if (path !== undefined && existsSync(path)) return path
  throw new Error(
    config === undefined
      ? 'there is no gateway.config.json here; name one with --config, or try "toll demo".'
      : `there is no config file ${config}.`
  )
}
