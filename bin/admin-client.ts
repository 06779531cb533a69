import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { loadGatewayConfig } from '../app.ts'
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
  const { origin, token } = await whereabouts(command)
  const headers: Record<string, string> = { authorization: `Bearer ${token}` }
  if (body !== undefined) headers['content-type'] = 'application/json'
  const response = await fetch(origin + path, {
    method,
    headers,
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.timeout(10_000)
  }).catch(() => {
    throw new Error(`no gateway answers on ${origin}; start it with "toll start", or set TOLL_ADMIN_URL.`)
  })
  const text = await response.text()
  const answer: unknown = text === '' ? undefined : JSON.parse(text)
  if (response.ok) return answer
  throw new Error((answer as { detail?: string }).detail ?? `the gateway answered ${response.status}.`)
}

interface Whereabouts {
  readonly origin: string
  readonly token: string
}

/** The environment alone will do: an operator must get through while the file on disk is being mended. */
async function whereabouts(command: Command): Promise<Whereabouts> {
  const { TOLL_ADMIN_URL: url, TOLL_ADMIN_TOKEN: token } = process.env
  if (url !== undefined && token !== undefined) return { origin: url.replace(/\/+$/, ''), token }
  try {
    const { value, directory } = await loadGatewayConfig(configPath(command))
    return {
      origin: url?.replace(/\/+$/, '') ?? originOf(value.listen.admin),
      token: token ?? value.admin.token ?? readToken(resolve(directory, value.admin.tokenPath))
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new Error(
      `${error.message}\nMend the file, or set TOLL_ADMIN_URL and TOLL_ADMIN_TOKEN to do without it.`
    )
  }
}

function originOf(address: string): string {
  const { host, port } = splitAddress(address)
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`
}

function readToken(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    throw new Error(
      `the admin token ${path} cannot be read; set TOLL_ADMIN_TOKEN, or run as the gateway's user.`
    )
  }
}
