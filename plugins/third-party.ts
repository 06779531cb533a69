import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Slice } from '../config/compose.ts'
import type { Extension } from '../config/config.ts'
import type { Report } from '../config/mistake.ts'
import { nearest } from '../config/nearest.ts'
import { plugins as builtIn } from './index.ts'
import type { GatewayPlugin } from './plugin.ts'

/** A step of the corridor with the options it is set up with. */
export interface Placed {
  readonly plugin: GatewayPlugin
  readonly options: unknown
}

/** One entry of the config's `plugins`. */
export interface ThirdParty {
  readonly use: string
  readonly after: string
  readonly options?: unknown
}

/** What a step does, for those whose key in the config says what it is about; `after` takes both. */
const stepNames: Readonly<Record<string, string>> = {
  'access-log': 'log',
  'request-id': 'requestId',
  'rate-limit': 'limit-by-subject',
  authenticate: 'auth',
  authorize: 'rules'
}

/**
 * Imports the modules that a config names, so that their slices take part in its validation: each entry's `options` are checked by
 * the plugin's `slice`, each route by its `route` fragment. A module exports its plugin as `default` or `plugin`.
 */
export async function thirdPartySlices(
  entries: unknown,
  corridor: readonly Slice[],
  report: Report,
  directory: string
): Promise<readonly Extension[]> {
  const taken = new Set(corridor.map(({ key }) => key))
  const fields = new Set(corridor.flatMap(fieldsOf))
  const steps = new Set([...builtIn.map(({ key }) => key), ...Object.keys(stepNames)])
  const extensions: Extension[] = []
  for (const [index, entry] of (Array.isArray(entries) ? entries : []).entries()) {
    const { use, after } = (entry ?? {}) as Partial<ThirdParty>
    if (typeof use !== 'string') continue
    const at = `/plugins/${index}`
    if (typeof after === 'string' && !steps.has(after)) {
      report.error(`${at}/after`, `there is no plugin "${after}" to stand after`, nearest(after, steps))
    }
    try {
      const plugin = await importPlugin(use, directory)
      const { key, slice, route } = plugin
      const double = fieldsOf(plugin).find((name) => fields.has(name))
      if (taken.has(key)) report.error(`${at}/use`, `another plugin has the key "${key}"`)
      else if (double !== undefined) {
        report.error(`${at}/use`, `the plugin adds "${double}" to routes, which have one already`)
      }
      taken.add(key)
      steps.add(key)
      for (const name of fieldsOf(plugin)) fields.add(name)
      // What is there twice makes no schema: the rest of the config is told by what came first.
      const isAlone = double === undefined
      extensions.push({
        key,
        at: `${at}/options`,
        ...(slice && { slice }),
        ...(route && isAlone && { route })
      })
    } catch (error) {
      report.error(`${at}/use`, `the plugin cannot be loaded: ${(error as Error).message.split('\n')[0]}`)
    }
  }
  return extensions
}

/** What a slice has of each route. */
const fieldsOf = ({ key, slice, route }: Slice): readonly string[] =>
  Object.keys({ ...route?.properties, ...(key === 'routes' && slice?.items?.properties) })

/** Puts the plugins that a config names into the corridor, each after the step it names; the config was accepted. */
export async function placeThirdParty(
  corridor: readonly Placed[],
  entries: readonly ThirdParty[],
  directory: string
): Promise<readonly Placed[]> {
  const placed = [...corridor]
  for (const { use, after, options } of entries) {
    const at = placed.findLastIndex(({ plugin: { key } }) => key === (stepNames[after] ?? after))
    if (at === -1) throw new Error(`the plugin "${use}" asks to stand after "${after}", which is no plugin.`)
    placed.splice(at + 1, 0, { plugin: await importPlugin(use, directory), options })
  }
  return placed
}

async function importPlugin(use: string, directory: string): Promise<GatewayPlugin> {
  const resolved = createRequire(join(directory, 'gateway.config.json')).resolve(use)
  const module = (await import(pathToFileURL(resolved).href)) as { default?: unknown; plugin?: unknown }
  const plugin = module.default ?? module.plugin
  if (typeof plugin === 'object' && plugin !== null && 'key' in plugin && 'setup' in plugin) {
    return plugin as GatewayPlugin
  }
  throw new Error('it exports no plugin, neither as default nor as "plugin"')
}
