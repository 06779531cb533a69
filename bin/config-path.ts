import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { demoConfig } from './demo-files.ts'

/** The last is what `toll demo` has made in a directory without a config. */
const names = [
  'gateway.config.json',
  'gateway.config.jsonc',
  'gateway.config.yaml',
  'gateway.config.yml',
  demoConfig
]

/** The config of the working directory, if it has one. */
export const findConfig = (): string | undefined => names.map((name) => resolve(name)).find(existsSync)

/** The config that `--config` names, else the first of the usual names here. Throws a sentence when there is none. */
export function configPath(command: Command): string {
  const { config } = command.optsWithGlobals<{ config?: string }>()
  const path = config === undefined ? findConfig() : resolve(config)
  if (path !== undefined && existsSync(path)) return path
  throw new Error(
    config === undefined
      ? 'there is no gateway.config.json here; name one with --config, or try "toll demo".'
      : `there is no config file ${config}.`
  )
}
