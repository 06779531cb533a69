import type { Command } from 'commander'
import type { Explanation } from '../../routes/admin/explanation.ts'
import { candidateLines } from '../explanation-text.ts'

interface ExplainOptions {
  readonly json?: boolean
  readonly live?: boolean
  readonly static?: boolean
  readonly header: readonly string[]
}

/**
 * `toll explain`: what the running gateway would do with a request, credential and all, and why. Where none answers: which route
 * of the config the request takes and what that route asks for, or why it takes none.
 */
export function explainCommand(program: Command): void {
  program
    .command('explain')
    .description('say what the running gateway, or else the config, makes of a request, and why')
    .argument('<method>', 'such as GET')
    .argument('<url>', 'the whole URL, or a path')
    .option('-H, --header <name: value>', 'a header of the request; may be given again', collect, [])
    .option(
      '--live',
      'fail when no gateway answers; asked, it checks credential and rules and uses nothing up'
    )
    .option('--static', 'ask no gateway: say what the config says')
    .option('--json', 'print the answer as JSON')
    .action(async (method: string, url: string, options: ExplainOptions, command: Command) => {
      const { json, live } = options
      if (live === true && options.static === true) throw new Error('--live and --static exclude each other.')
      const lines = options.header.map(headerOf)
      if (options.static !== true) {
        const { adminRequest } = await import('../admin-client.ts')
        const { explanationText } = await import('../explanation-text.ts')
        const body = { method, url, headers: byName(lines) }
        try {
          const answer = (await adminRequest(command, 'POST', '/admin/explain', body)) as Explanation
          print(json, answer, explanationText(answer))
          return
        } catch (error) {
          if (live === true) throw error
          process.stderr.write(`What the config says, since ${(error as Error).message}\n`)
        }
      }
      const { readConfig } = await import('../read-config.ts')
      const { askedRequest } = await import('../../routes/table/asked-request.ts')
      const { candidatesOf } = await import('../../routes/table/candidates.ts')
      const { compileTable } = await import('../../routes/table/compile.ts')
      const { exchangeOpener } = await import('../../routes/table/exchange.ts')
      const { doorsOf } = await import('../../routes/auth/doors.ts')
      const loaded = await readConfig(command, json)
      if (loaded === undefined) return
      const { value: config } = loaded
      const table = compileTable(config.routes)
      const isDoor = doorsOf(config.auth)
      const asked = askedRequest(method, url, lines)
      const exchange = exchangeOpener(table, isDoor, config.listen)(asked)
      const { path, resource, refusal } = exchange
      const route = table.routes.find((candidate) => candidate === exchange.route)
      const candidates = candidatesOf(asked, exchange, table)
      if (route === undefined) {
        const answer = refusal === undefined ? { door: resource } : problemOf(refusal)
        const sentence =
          refusal === undefined
            ? `The gateway answers ${resource} itself.`
            : `Refused with ${refusal.statusCode} ${refusal.code}: ${refusal.message}`
        print(json, { path, ...answer, candidates }, [sentence, ...candidateLines(candidates)].join('\n'))
        return
      }
      const routeOptions = config.routes[route.index]! as RouteDetails
      const answer = {
        path,
        route: route.id,
        pattern: route.path,
        service: route.service,
        upstreamPath: route.rewrite.forward(path) ?? null,
        auth: routeOptions.auth ?? 'required',
        limit: routeOptions.limit ?? null,
        canary: routeOptions.canary ?? null,
        mirror: routeOptions.mirror ?? null
      }
      print(json, { ...answer, candidates }, [rowsOf(answer), ...candidateLines(candidates)].join('\n'))
    })
}

interface RouteDetails {
  readonly auth?: unknown
  readonly limit?: unknown
  readonly canary?: unknown
  readonly mirror?: unknown
}

function headerOf(line: string): readonly [string, string] {
  const colon = line.indexOf(':')
  // The line is not repeated: it may be a token that was pasted alone.
  if (colon < 1) throw new Error('a header of -H has no name; write it as "name: value".')
  return [line.slice(0, colon), line.slice(colon + 1).trim()]
}

function byName(lines: readonly (readonly [string, string])[]): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {}
  for (const [name, value] of lines) {
    const before = headers[name]
    headers[name] = before === undefined ? value : [before, value].flat()
  }
  return headers
}

const collect = (value: string, previous: readonly string[]): string[] => [...previous, value]

const problemOf = ({ statusCode, code, message }: { statusCode: number; code: string; message: string }) => ({
  status: statusCode,
  code,
  detail: message
})

const rowsOf = (answer: Readonly<Record<string, unknown>>): string =>
  Object.entries(answer)
    .filter(([, value]) => value !== null)
    .map(([key, value]) => `${key.padEnd(14)}${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('\n')

function print(json: boolean | undefined, answer: object, sentence: string): void {
  process.stdout.write(`${json === true ? JSON.stringify(answer) : sentence}\n`)
}
