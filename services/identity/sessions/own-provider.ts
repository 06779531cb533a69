import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Report } from '../../../config/mistake.ts'
import { pointerOf } from '../../../config/pointer.ts'
import { isProblem, StoreUnavailable } from '../../../errors.ts'
import type { SessionProvider, SessionProviderFactory, SessionSurroundings } from './provider.ts'
import { isAnswer } from './provider-answers.ts'

/** Every method a provider has to have. */
const methods = [
  'start',
  'rotate',
  'destroy',
  'kick',
  'endOutdated',
  'touch',
  'exists',
  'read',
  'list',
  'page',
  'online',
  'readData',
  'writeData',
  'gc'
] as const satisfies readonly (keyof SessionProvider)[]

export type ProviderMethod = (typeof methods)[number]

const answerWithin = 5000

/** Tells of a module named in `auth.sessions.provider` that is no session provider's, before anything is started. */
export async function checkOwnProvider(config: unknown, report: Report, directory: string): Promise<void> {
  const use = (config as { auth?: { sessions?: { provider?: unknown } } } | null)?.auth?.sessions?.provider
  if (typeof use !== 'string' || use === '') return
  try {
    await importFactory(use, directory)
  } catch (error) {
    const why = firstLine(error)
    report.error(pointerOf('auth', 'sessions', 'provider'), `the session provider cannot be loaded: ${why}`)
  }
}

/** Opens the provider of a module; rejects with one sentence that names it. Nothing it does afterwards is more than a store that is away. */
export async function openOwnProvider(
  use: string,
  options: Readonly<Record<string, unknown>>,
  surroundings: SessionSurroundings
): Promise<SessionProvider> {
  const refuse = (why: string, cause?: unknown) =>
    new Error(`The session provider "${use}" cannot be used: ${why}.`, { cause })
  let provider: SessionProvider
  try {
    provider = await (await importFactory(use, surroundings.directory))(options, surroundings)
  } catch (error) {
    throw refuse(firstLine(error).replace(/\.$/, ''), error)
  }
  if (typeof provider !== 'object' || provider === null) throw refuse('its function returned no provider')
  const lacking = methods.filter((method) => typeof provider[method] !== 'function')
  if (lacking.length > 0) throw refuse(`it has no method ${lacking.join(', ')}`)
  return guarded(provider)
}

async function importFactory(use: string, directory: string): Promise<SessionProviderFactory> {
  const resolved = createRequire(join(directory, 'gateway.config.json')).resolve(use)
  const module = (await import(pathToFileURL(resolved).href)) as { default?: unknown }
  if (typeof module.default !== 'function') throw new Error('it exports no function as default')
  return module.default as SessionProviderFactory
}

const firstLine = (error: unknown): string =>
  error instanceof Error ? error.message.split('\n')[0]! : 'it threw what is no error'

function guarded(provider: SessionProvider): SessionProvider {
  const calls = methods.map((method) => [
    method,
    (...args: unknown[]) => answerOf(method, () => Reflect.apply(provider[method], provider, args))
  ])
  return {
    ...(Object.fromEntries(calls) as unknown as SessionProvider),
    close: async () => provider.close?.()
  }
}

/** What a method answers; a rejection, silence, and an answer that is none are all a store that is away. */
async function answerOf(method: ProviderMethod, call: () => unknown): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`"${method}" took too long.`)), answerWithin)
  })
  try {
    const answer = await Promise.race([call(), silence])
    if (!isAnswer(method, answer)) throw new TypeError(`"${method}" gave no answer of its kind.`)
    return answer
  } catch (cause) {
    if (isProblem(cause) && cause.code === 'STORE_UNAVAILABLE') throw cause
    throw StoreUnavailable([], { reason: `provider_${method}`, headers: { 'retry-after': '1' }, cause })
  } finally {
    clearTimeout(timer)
  }
}
