import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Size } from '../../config/units.ts'
import { Forbidden, Unauthenticated } from '../../errors.ts'
import { bearerOf } from '../../plugins/authenticate/bearer.ts'
import type { Principal } from '../../plugins/plugin.ts'

/** Who may use the admin API besides users whose token has the scope `admin`. */
export const adminSlice = {
  key: 'admin',
  slice: Type.Object(
    {
      token: Type.Optional(
        Type.String({
          minLength: 24,
          maxLength: 512,
          secret: true,
          description:
            'A bearer token for scripts, best given by an environment variable. Without it one is made and kept in `tokenPath`.'
        })
      ),
      tokenPath: Type.String({
        default: '.toll/admin-token',
        minLength: 1,
        description: 'File (mode 0600) with the token that the `toll` command on this machine uses.'
      }),
      maxBody: Size({
        default: '64KiB',
        description: 'Largest request body the admin API takes; more is answered with 413.'
      })
    },
    { additionalProperties: false, default: {}, description: 'Access to the admin listener.' }
  )
} as const

export interface AdminOptions {
  readonly token?: string
  readonly tokenPath: string
  readonly maxBody: string
}

/** Checks an access token of the gateway's own for the admin API; rejects with a problem. */
export type VerifyAdmin = (token: string) => Principal | Promise<Principal>

/** The token in force: the configured one, the one in the file, or a new one put there. Undefined where none can be kept. */
export function adminToken({ token, tokenPath }: AdminOptions, directory: string): string | undefined {
  if (token !== undefined) return token
  const path = resolve(directory, tokenPath)
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const made = randomBytes(32).toString('base64url')
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSync(path, `${made}\n`, { mode: 0o600, flag: 'wx' })
    chmodSync(path, 0o600)
    return made
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return readFileSync(path, 'utf8').trim()
    // A read-only file system: users with the scope still get in.
    return undefined
  }
}

/** Lets nobody into /admin but the holder of the admin token or a signed-in user with the scope `admin`, also from loopback. */
export function guardAdmin(admin: FastifyInstance, token: string | undefined, verify: VerifyAdmin): void {
  const expected = token === undefined ? undefined : digest(token)
  admin.addHook('onRequest', async (request) => {
    if (!request.exchange.path.startsWith('/admin')) return
    const given = bearer(request)
    if (expected !== undefined && timingSafeEqual(digest(given), expected)) {
      request.exchange.principal = operator
      return
    }
    const principal = await verify(given)
    if (!principal.scopes.includes('admin')) {
      throw Forbidden(['The admin API needs the scope "admin".'], {
        reason: 'admin_scope',
        headers: { 'www-authenticate': 'Bearer realm="admin", error="insufficient_scope", scope="admin"' }
      })
    }
    request.exchange.principal = principal
  })
}

/** Clients that always name JSON, also with nothing to send, have sent nothing. */
export function takeEmptyBodies(admin: FastifyInstance): void {
  const parse = admin.getDefaultJsonParser('error', 'error')
  admin.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else parse(request, body as string, done)
  })
}

/** Whoever holds the admin token. */
const operator: Principal = Object.freeze({
  subject: 'admin-token',
  session: undefined,
  scopes: ['admin'],
  claims: {},
  isOwn: true
})

function bearer({ raw }: FastifyRequest): string {
  const token = bearerOf(raw)
  if (token !== undefined && token !== '') return token
  throw Unauthenticated(
    ['The admin API needs a bearer token: the admin token or one with the scope "admin".'],
    {
      reason: 'credentials_missing',
      headers: { 'www-authenticate': 'Bearer realm="admin"' }
    }
  )
}

/** Equal lengths for timingSafeEqual, whatever was sent. */
const digest = (token: string): Buffer => createHash('sha256').update(token).digest()
