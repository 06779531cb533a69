import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import WebSocket, { WebSocketServer } from 'ws'
import { eventually } from '../support/own-process.ts'
import { type Running, runToll, serving } from '../support/running.ts'
import { httpUpstream } from '../support/upstream.ts'
import { opened } from '../support/websocket.ts'

const token = 'an-admin-token-of-the-tests-0123456789'

export interface WorkerState {
  readonly number: number
  readonly pid: number
  readonly state: string
}

export interface Site {
  readonly running: Running
  readonly origin: string
  /** The config with other parts, as text. */
  text(parts: Record<string, unknown>): string
  admin(
    method: string,
    path: string,
    body?: unknown
  ): Promise<{ readonly status: number; readonly body: string }>
  workers(): Promise<readonly WorkerState[]>
  /** The lines logged so far, parsed: one that is broken fails. */
  log(): readonly Record<string, unknown>[]
  /** Exit code of the process that was started first: others may still write where it wrote. */
  readonly exited: Promise<number | null>
}

/** A gateway of several workers in front of a service that answers and echoes. `isSeen`: it counts for what the tests cover. */
export async function startSite(
  t: Test,
  parts: Record<string, unknown> = {},
  { files = {}, isSeen = false }: { files?: Record<string, string>; isSeen?: boolean } = {}
): Promise<Site> {
  const upstream = await httpUpstream(t, (_request, response) => response.end('served'))
  const sockets = new WebSocketServer({ server: upstream.server })
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(String(data))))
  const text = (parts: Record<string, unknown>) =>
    JSON.stringify({
      workers: 2,
      listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0' },
      shutdown: { delay: '0s', timeout: '2s' },
      admin: { token },
      services: { echo: { nodes: [upstream.url] } },
      routes: [{ id: 'echo', path: '/*', service: 'echo', auth: 'none' }],
      ...parts
    })
  const { NODE_OPTIONS } = process.env
  const env = isSeen && NODE_OPTIONS !== undefined ? { NODE_OPTIONS } : {}
  const running = runToll(t, ['start'], { 'gateway.config.json': text(parts), ...files }, env)
  const exited = once(running.child, 'exit').then(([code]) => code as number | null)
  const { origin, admin: adminOrigin } = await serving(running)
  if (parts.workers !== 1) await running.seen(/"msg":"workers serve"/)
  const admin = async (method: string, path: string, body?: unknown) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    const answer = await fetch(`${adminOrigin}${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) })
    })
    return { status: answer.status, body: await answer.text() }
  }
  return {
    running,
    origin,
    text,
    admin,
    workers: async () => {
      const { body } = await admin('GET', '/admin/workers')
      return (JSON.parse(body) as { workers: readonly WorkerState[] }).workers
    },
    log: () =>
      running.output.out
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    exited
  }
}

/** Ends the process that took over from the first one, with the test. */
export function endSuccessor(t: Test, site: Site): void {
  t.teardown(async () => {
    const successor = successorOf(site)
    if (successor === undefined || !isThere(successor)) return
    process.kill(successor, 'SIGTERM')
    await eventually('it has ended', () => !isThere(successor))
  })
}

/** Pid of the process that serves or served last and is not the first one. */
export const successorOf = (site: Site): number | undefined =>
  site
    .log()
    .filter(({ msg, pid, worker }) => {
      const serves = msg === 'workers serve' || (msg === 'serving' && worker === undefined)
      return serves && pid !== site.running.child.pid
    })
    .at(-1)?.pid as number | undefined

export function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Requests without a pause until it is stopped, each connection one after the other. */
export class Load {
  /** Ids of the requests that were answered well. */
  readonly answered = new Set<string>()
  readonly failures: string[] = []
  readonly #agent: Agent
  readonly #senders: Promise<void>[]
  #isOver = false

  /** `keepAlive` off: each request has a connection of its own. */
  constructor(origin: string, { connections = 8, keepAlive = true, path = '/load' } = {}) {
    this.#agent = new Agent({ keepAlive, maxSockets: connections })
    this.#senders = Array.from({ length: connections }, () => this.#send(`${origin}${path}`))
  }

  /** Resolves once so many more have been answered. */
  async more(count: number): Promise<void> {
    const wanted = this.answered.size + count
    await eventually('requests are answered', () => this.answered.size >= wanted, 30_000)
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#senders)
    this.#agent.destroy()
  }

  async #send(url: string): Promise<void> {
    while (!this.#isOver) {
      try {
        const response = await ask(url, this.#agent)
        if (response.statusCode === 200) this.answered.add(String(response.headers['x-request-id']))
        else this.failures.push(`status ${response.statusCode}`)
      } catch (error) {
        this.failures.push((error as NodeJS.ErrnoException).code ?? String(error))
        await sleep(10)
      }
      await sleep(2)
    }
  }
}

/** One answer, its body read to the end; without an agent over a connection of its own. */
export function ask(url: string, agent?: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: agent ?? false }, (response) => {
      response.resume()
      response.once('end', () => resolve(response))
      response.once('error', reject)
    })
    request.once('error', reject)
  })
}

/** WebSockets that are open, with the codes of those that were closed. */
export async function openSockets(t: Test, origin: string, count: number) {
  const codes: number[] = []
  const sockets = Array.from({ length: count }, () => {
    const socket = new WebSocket(`${origin.replace('http', 'ws')}/socket`)
    socket.on('close', (code) => codes.push(code))
    socket.on('error', () => {})
    t.teardown(() => socket.terminate())
    return socket
  })
  await Promise.all(sockets.map(opened))
  const echo = async (socket: WebSocket): Promise<void> => {
    socket.send('still there')
    await once(socket, 'message')
  }
  return { sockets, codes, echo, open: () => sockets.filter((one) => one.readyState === WebSocket.OPEN) }
}

/** Ids of the requests of a load that have a line in the access log, each once. */
export const logged = (site: Site): readonly string[] =>
  site
    .log()
    .filter(({ msg, path }) => msg === 'request' && path === '/load')
    .map(({ requestId }) => String(requestId))
