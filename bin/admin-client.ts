import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { loadGatewayConfig } from '../app.ts'
import { renderMistakes } from '../config/frame.ts'
import { ConfigError } from '../config/mistake.ts'
import { splitAddress } from '../config/process.ts'
import { configPath } from './config-path.ts'

/**
 * Asks the running gateway over its admin listener. Where that is and the token say TOLL_ADMIN_URL and TOLL_ADMIN_TOKEN, or else
 * the config and the token file that `toll start` keeps beside it. Returns the parsed answer; throws one sentence otherwise.
 */
export async function adminRequest(
  command: Command,
  method: string,
  path: string,
  body?: unknown
): Promise<unknown> {
  return (await adminExchange(command, method, path, { body })).answer
}

/** A body that becomes JSON, or a text as it is. */
export type Sent =
  | { readonly body?: unknown; readonly text?: never }
  | { readonly text: string; readonly type: string; readonly body?: never }

/**
 * The same with what it is meant for (If-Match), how many milliseconds it may take, and the ETag of the answer. Where the gateway refuses,
 * what is thrown has the `status`.
 */
export async function adminExchange(
  command: Command,
  method: string,
  path: string,
  { match, patience = 10_000, ...sent }: Sent & { readonly match?: string; readonly patience?: number } = {}
): Promise<{ readonly answer: unknown; readonly etag: string | undefined }> {
  const { origin, token, tokenPath } = await whereabouts(command)
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  if (match !== undefined) headers['if-match'] = match
  const isText = sent.text !== undefined
  if (isText) headers['content-type'] = sent.type
  else if (sent.body !== undefined) headers['content-type'] = 'application/json'
  const response = await fetch(origin + path, {
    method,
    headers,
    body: isText ? sent.text : sent.body === undefined ? null : JSON.stringify(sent.body),
    signal: AbortSignal.timeout(patience)
  }).catch(() => {
    throw new Error(`no gateway answers on ${origin}; start it with "toll start", or set TOLL_ADMIN_URL.`)
  })
  const text = await response.text()
  const isJSON = /^application\/(?:problem\+)?json/.test(response.headers.get('content-type') ?? '')
  if (text !== '' && !isJSON) {
    throw new Error(`what answers on ${origin} is not the admin listener of a gateway.`)
  }
  if (token === undefined && response.status === 401) {
    throw new Error(
      `the admin token ${tokenPath} cannot be read; set TOLL_ADMIN_TOKEN, or run as the gateway's user.`
    )
  }
  const answer: unknown = text === '' ? undefined : JSON.parse(text)
  if (response.ok) return { answer, etag: response.headers.get('etag') ?? undefined }
  const { detail } = (answer ?? {}) as { detail?: string }
  const { status } = response
  throw Object.assign(new Error(detail ?? `the gateway answered ${status}.`), { status })
}

interface Whereabouts {
  readonly origin: string
  /** Undefined when none can be read; whether that matters turns out when a gateway answers. */
  readonly token: string | undefined
  readonly tokenPath: string
}

/** The environment alone will do: an operator must get through while the file on disk is being mended. */
async function whereabouts(command: Command): Promise<Whereabouts> {
  const { TOLL_ADMIN_URL: url, TOLL_ADMIN_TOKEN: token } = process.env
  if (url !== undefined && token !== undefined) {
    return { origin: url.replace(/\/+$/, ''), token, tokenPath: '' }
  }
  try {
    const { value, directory } = await loadGatewayConfig(configPath(command))
    const tokenPath = resolve(directory, value.admin.tokenPath)
    return {
      origin: url?.replace(/\/+$/, '') ?? originOf(value.listen.admin),
      token: token ?? value.admin.token ?? readToken(tokenPath),
      tokenPath
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new Error(
      `the config is refused.\n${renderMistakes(error)}\nMend the file, or set TOLL_ADMIN_URL and TOLL_ADMIN_TOKEN to do without it.`
    )
  }
}

function originOf(address: string): string {
  const { host, port } = splitAddress(address)
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}
