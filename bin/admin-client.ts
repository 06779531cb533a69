import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { loadGatewayConfig } from '../app.ts'
import { splitAddress } from '../config/process.ts'
import { configPath } from './config-path.ts'

/**
 * Asks the running gateway over its admin listener, which the config names. The token is TOLL_ADMIN_TOKEN or the one that
 * `toll start` keeps beside the config. Returns the parsed answer; throws one sentence otherwise.
 */
export async function adminRequest(
  command: Command,
  method: string,
  path: string,
  body?: unknown
): Promise<unknown> {
  const { value, directory } = await loadGatewayConfig(configPath(command))
  const origin = process.env.TOLL_ADMIN_URL ?? originOf(value.listen.admin)
  const token =
    process.env.TOLL_ADMIN_TOKEN ?? value.admin.token ?? readToken(resolve(directory, value.admin.tokenPath))
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
