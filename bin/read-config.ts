import { relative } from 'node:path'
import type { Command } from 'commander'
import { type GatewayConfig, loadGatewayConfig } from '../app.ts'
import { renderMistakes } from '../config/frame.ts'
import { ConfigError } from '../config/mistake.ts'
import { configPath } from './config-path.ts'

/** Loads the config a command is about. A refused one ends the command with exit code 2 and every mistake; then this is undefined. */
export const readConfig = (
  command: Command,
  isJson: boolean | undefined
): Promise<GatewayConfig | undefined> => readConfigAt(configPath(command), isJson)

/** The same for any config file. */
export async function readConfigAt(
  path: string,
  isJson: boolean | undefined
): Promise<GatewayConfig | undefined> {
  try {
    return await loadGatewayConfig(shownPath(path))
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const colour = process.stderr.isTTY && process.env.NO_COLOR === undefined
    if (isJson) process.stdout.write(`${JSON.stringify({ ok: false, mistakes: error.mistakes })}\n`)
    else process.stderr.write(`${renderMistakes(error, { colour })}\n`)
    process.exitCode = 2
    return undefined
  }
}

/** A path as people would type it from here. */
export function shownPath(path: string): string {
  const near = relative('.', path)
  return near.startsWith('..') || near === '' ? path : near
}

/** "1 route", "2 routes". */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`
