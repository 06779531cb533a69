import { request as rawRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'

export interface Reply {
  /** 0 when none came. */
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

export interface Question {
  readonly json?: unknown
  readonly token?: string
}

const noReply: Reply = { status: 0, body: {} }
const patience = 1500

/** Asks gateways as many clients would, over kept connections. */
export class Asking {
  readonly #agent = new Agent({ connections: 32, pipelining: 1, connectTimeout: patience })

  async ask(method: 'GET' | 'POST' | 'DELETE', url: string, { json, token }: Question): Promise<Reply> {
    try {
      const answer = await request(url, {
        method,
        dispatcher: this.#agent,
        headersTimeout: patience,
        bodyTimeout: patience,
        headers: {
          ...(json !== undefined && { 'content-type': 'application/json' }),
          ...(token !== undefined && { authorization: `Bearer ${token}` })
        },
        body: json === undefined ? null : JSON.stringify(json)
      })
      const text = await answer.body.text()
      const isJSON = /json/.test(String(answer.headers['content-type']))
      return { status: answer.statusCode, body: isJSON ? JSON.parse(text) : {} }
    } catch {
      return noReply
    }
  }

  /** Sends a request, and leaves before the answer. */
  async lose(url: string, json: unknown): Promise<Reply> {
    await new Promise<void>((resolve) => {
      const asked = rawRequest(url, {
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/json' }
      })
      asked.on('error', () => resolve())
      asked.on('response', (answer) => answer.resume())
      asked.on('close', () => resolve())
      asked.once('finish', () => setTimeout(() => asked.destroy(), Math.random() * 4))
      asked.end(JSON.stringify(json))
    })
    await sleep(10)
    return noReply
  }

  close(): Promise<void> {
    return this.#agent.destroy()
  }
}
