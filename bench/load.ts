import { spawn } from 'node:child_process'
import { put, type Workspace } from './workspace.ts'

/** What a scenario sends: the script that makes wrk send it. */
export type Load = 'get' | 'token' | 'post' | 'large' | 'routes' | 'close'

/** What wrk saw. Times in milliseconds. */
export interface Seen {
  readonly requests: number
  readonly rate: number
  readonly p50: number
  readonly p99: number
  /** Answers that were no 2xx or 3xx. */
  readonly refused: number
  /** Connections that failed, and requests that had no answer. */
  readonly broken: number
}

const scripts: Readonly<Record<Load, (workspace: Workspace) => string>> = {
  get: () => 'wrk.path = "/api/x"\n',
  close: () => 'wrk.path = "/api/x"\nwrk.headers["Connection"] = "close"\n',
  large: () => 'wrk.path = "/big"\n',
  post: () => `wrk.path = "/echo"
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"d":"' .. string.rep("x", 10232) .. '"}'
`,
  token: ({ users }) =>
    // Of two headers wrk puts now this and now that first, by chance, each time that it is started; a client has an order of its own.
    inTurn(
      users.map(
        ({ token }) =>
          `"GET /api/x HTTP/1.1\\r\\nHost: " .. wrk.headers.Host .. "\\r\\nAuthorization: Bearer ${token}\\r\\n\\r\\n"`
      )
    ),
  routes: () =>
    inTurn(
      Array.from({ length: 1000 }, (_, index) => `wrk.format("GET", "/service-${(index * 7) % 1000}/x")`)
    )
}

/** Sends one load to the gateway's port for some seconds, 64 connections from one thread pinned to `core`. */
export async function sendLoad(
  workspace: Workspace,
  load: Load,
  { seconds, core }: { readonly seconds: number; readonly core: number }
): Promise<Seen> {
  const script = put(workspace, `${load}.lua`, scripts[load](workspace))
  const options = ['-t1', '-c64', `-d${seconds}s`, '--latency', '--timeout', '10s', '-s', script]
  const url = `http://127.0.0.1:${workspace.ports.gateway}`
  return readReport(await run('taskset', ['-c', String(core), 'wrk', ...options, url]))
}

const inTurn = (requests: readonly string[]): string => `local requests = {}
function init()
${requests.map((request, index) => `  requests[${index + 1}] = ${request}`).join('\n')}
end
local at = 0
function request()
  at = at % ${requests.length} + 1
  return requests[at]
end
`

function readReport(text: string): Seen {
  const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0)
  const errors =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? []
  return {
    requests: number(/(\d+) requests in/),
    rate: number(/Requests\/sec:\s+([\d.]+)/),
    p50: milliseconds(/^ +50% +(\S+)/m.exec(text)?.[1]),
    p99: milliseconds(/^ +99% +(\S+)/m.exec(text)?.[1]),
    refused: number(/Non-2xx or 3xx responses: (\d+)/),
    broken: errors.reduce((sum, count) => sum + Number(count), 0)
  }
}

const units: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 }

function milliseconds(text = ''): number {
  const [, value, unit = ''] = /^([\d.]+)([a-z]+)$/.exec(text) ?? []
  return Number(value) * (units[unit] ?? Number.NaN)
}

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.once('error', reject)
    child.once('close', () => resolve(text))
  })
}
