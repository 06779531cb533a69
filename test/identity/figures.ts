import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import type { Test } from 'tap'
import { ask } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { usersFile } from '../support/users.ts'

const users = await usersFile({ kesa: { password: '123' } })

/** A gateway with a user of its own, and what the tests of figures ask of it. */
export async function start(t: Test, store: Record<string, unknown>, { beside = '', auth = {} } = {}) {
  const { origin, admin, directory } = await startGateway(
    t,
    {
      store: store.path === undefined ? store : { ...store, path: join(beside, String(store.path)) },
      auth: {
        users: { driver: 'file', path: join(beside, 'users.json') },
        keys: { path: join(beside, '.toll/keys.json') },
        ...auth
      },
      routes: []
    },
    { files: { 'users.json': users } }
  )
  const token = readFileSync(join(directory, '.toll/admin-token'), 'utf8').trim()
  return {
    directory,
    login: async () =>
      await ask('POST', `${origin}/auth/login`, { json: { username: 'kesa', password: '123' } }),
    refresh: (refresh: unknown) =>
      ask('POST', `${origin}/auth/refresh`, { json: { refresh_token: refresh } }),
    me: connection(t, `${origin}/auth/me`),
    revoke: (json: unknown) => ask('POST', `${admin}/admin/revocations`, { token, json })
  }
}

/** Asks over kept connections, 16 at most; resolves with the status. */
function connection(t: Test, url: string): (token: unknown) => Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  t.teardown(() => agent.destroy())
  return (token) =>
    new Promise((resolve, reject) => {
      const asked = request(
        url,
        { agent, headers: { authorization: `Bearer ${String(token)}` } },
        (answer) => {
          answer.resume()
          answer.once('end', () => resolve(answer.statusCode!))
        }
      )
      asked.once('error', reject)
      asked.end()
    })
}

export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

export const shown = (values: readonly number[]): string =>
  `p50 ${percentile(values, 0.5).toFixed(1)} ms, p99 ${percentile(values, 0.99).toFixed(1)} ms, of ${values.length}`
