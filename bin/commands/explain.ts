import type { IncomingMessage } from 'node:http'
import type { Command } from 'commander'

interface ExplainOptions {
  readonly json?: boolean
  readonly header: readonly string[]
}

/** `toll explain`: which route of the config a request takes and what that route asks for, or why it takes none. */
export function explainCommand(program: Command): void {
  program
    .command('explain')
    .description('say which route a request takes and what it asks for, or why it is refused')
    .argument('<method>', 'such as GET')
    .argument('<url>', 'the whole URL, or a path')
    .option('-H, --header <name: value>', 'a header of the request; may be given again', collect, [])
    .option('--json', 'print the answer as JSON')
    .action(async (method: string, url: string, { json, header }: ExplainOptions, command: Command) => {
      const { readConfig } = await import('../read-config.ts')
      const { compileTable } = await import('../../routes/table/compile.ts')
      const { openExchange } = await import('../../routes/table/exchange.ts')
      const { doorsOf } = await import('../../routes/auth/doors.ts')
      const loaded = await readConfig(command, json)
      if (loaded === undefined) return
      const { value: config } = loaded
      const table = compileTable(config.routes)
      const isDoor = doorsOf(config.auth)
      const exchange = openExchange(requestOf(method, url, header), table, isDoor)
      const { path, resource, refusal } = exchange
      const route = table.routes.find((candidate) => candidate === exchange.route)
      if (route === undefined) {
        const answer = refusal === undefined ? { door: resource } : problemOf(refusal)
        const sentence =
          refusal === undefined
            ? `The gateway answers ${resource} itself.`
            : `Refused with ${refusal.statusCode} ${refusal.code}: ${refusal.message}`
        print(json, { path, ...answer }, sentence)
        return
      }
      const options = config.routes[route.index]! as RouteDetails
      const answer = {
        path,
        route: route.id,
        pattern: route.path,
        service: route.service,
        upstreamPath: route.rewrite.forward(path) ?? null,
        auth: options.auth ?? 'required',
        limit: options.limit ?? null
      }
      print(json, answer, rowsOf(answer))
    })
}

interface RouteDetails {
  readonly auth?: unknown
  readonly limit?: unknown
}

const collect = (value: string, previous: readonly string[]): string[] => [...previous, value]

/** As much of a request as matching looks at. */
function requestOf(method: string, url: string, lines: readonly string[]): IncomingMessage {
  const { host, target } = /^https?:\/\//i.test(url) ? splitURL(url) : { host: 'localhost', target: url }
  const rawHeaders = ['Host', host]
  for (const line of lines) {
    const colon = line.indexOf(':')
    if (colon < 1) throw new Error(`"${line}" is no header; write it as "name: value".`)
    rawHeaders.push(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  const headers: Record<string, string> = {}
  for (let index = 0; index < rawHeaders.length; index += 2) {
    headers[rawHeaders[index]!.toLowerCase()] = rawHeaders[index + 1]!
  }
  if (headers.host !== host) rawHeaders.splice(0, 2)
  const request = {
    method: method.toUpperCase(),
    url: target,
    headers,
    rawHeaders,
    httpVersionMajor: 1,
    httpVersionMinor: 1,
    socket: {}
  }
  return request as unknown as IncomingMessage
}

/** Without the URL class, which would bring the path into a form that nobody sent. */
function splitURL(url: string): { host: string; target: string } {
  const [, host = '', target = ''] = /^https?:\/\/([^/?]*)(.*)$/is.exec(url) ?? []
  return { host, target: target.startsWith('/') ? target : `/${target}` }
}

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
