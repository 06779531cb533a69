import { createHash, createHmac, randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from './process.ts'

/** What every candidate of a run shares: a directory, ports, and the tokens of a thousand users. */
export interface Workspace {
  readonly directory: string
  readonly ports: {
    readonly gateway: number
    readonly admin: number
    readonly upstream: number
    readonly redis: number
  }
  readonly secret: string
  readonly kid: string
  readonly users: readonly BenchUser[]
}

export interface BenchUser {
  readonly name: string
  readonly session: string
  readonly token: string
}

const userCount = 1000

/** Makes a workspace in `directory`. Tokens are HS256 with one shared secret, so that every peer can check them. */
export async function makeWorkspace(directory: string, now = Date.now()): Promise<Workspace> {
  mkdirSync(directory, { recursive: true })
  const [gateway, admin, upstream, redis] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort()
  ]
  const secret = randomBytes(32).toString('base64url')
  const kid = 'bench'
  const users = Array.from({ length: userCount }, (_, index) => {
    const name = `user-${index}`
    const session = createHash('sha256').update(name).digest('base64url').slice(0, 34)
    return { name, session, token: sign(secret, kid, { name, session, now }) }
  })
  return { directory, ports: { gateway, admin, upstream, redis }, secret, kid, users }
}

/** Writes a file of the workspace; its path. */
export function put({ directory }: Workspace, name: string, content: string | Uint8Array): string {
  const path = join(directory, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, content, { mode: 0o600 })
  return path
}

function sign(
  secret: string,
  kid: string,
  { name, session, now }: { name: string; session: string; now: number }
): string {
  const iat = Math.floor(now / 1000)
  const claims = {
    iss: 'bench',
    sub: name,
    aud: 'api',
    client_id: 'toll',
    iat,
    exp: iat + 6 * 3600,
    jti: `${name}-token`,
    sid: session,
    ep: 0,
    scope: 'orders:read orders:write'
  }
  const parts = [{ alg: 'HS256', typ: 'at+jwt', kid }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url')
  )
  const mac = createHmac('sha256', secret).update(parts.join('.')).digest('base64url')
  return `${parts.join('.')}.${mac}`
}
