import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Size } from '../../config/units.ts'
import { Forbidden, Unauthenticated } from '../../errors.ts'
import { bearerOf } from '../../plugins/authenticate/bearer.ts'
import type { Principal } from '../../plugins/plugin.ts'
import { type Role, roleNeeded } from './call.ts'

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
      readToken: Type.Optional(
        Type.String({
          minLength: 24,
          maxLength: 512,
          secret: true,
          description:
            'A second bearer token that may only look: for dashboards and scripts that change nothing. Without it there is none.'
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
      }),
      maxConfig: Size({
        default: '4MiB',
        description: 'The same for PUT /admin/config.'
      }),
      history: Type.Object(
        {
          path: Type.String({
            default: '.toll/history',
            minLength: 1,
            description:
              'Directory (mode 0700) with the texts of the config that served last, as they were written. It holds what the file holds.'
          }),
          keep: Type.Integer({
            default: 20,
            minimum: 0,
            maximum: 1000,
            description: 'How many are kept, for `toll history` and `toll rollback`; 0 for none.'
          })
        },
        { additionalProperties: false, default: {}, description: 'The configs before this one.' }
      )
    },
    { additionalProperties: false, default: {}, description: 'Access to the admin listener.' }
  )
} as const

export interface AdminOptions {
  readonly token?: string
  readonly readToken?: string
  readonly tokenPath: string
  readonly maxBody: string
  readonly maxConfig: string
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

/** The tokens that are no user's; undefined where there is none. */
export interface AdminTokens {
  readonly operate: string | undefined
  readonly read: string | undefined
}

/**
 * Lets nobody into /admin but the holder of an admin token or a signed-in user with the scope `admin` or `admin:read`, also from
 * loopback; who may only look changes nothing.
 */
export function guardAdmin(admin: FastifyInstance, tokens: AdminTokens, verify: VerifyAdmin): void {
  const isOperator = comparison(tokens.operate)
  const isReader = comparison(tokens.read)
  admin.addHook('onRequest', async (request) => {
    if (!request.exchange.path.startsWith('/admin')) return
    const given = bearer(request)
    const digested = digest(given)
    // Both are compared, whatever the first says: how long it takes tells nothing.
    const [operates, reads] = [isOperator(digested), isReader(digested)]
    const principal = operates ? operator : reads ? reader : await verify(given)
    const role = roleOf(principal)
    if (role === undefined)
      throw forbidden('The admin API needs the scope "admin" or "admin:read".', 'admin_scope')
    request.exchange.principal = principal
    if (role === 'read' && roleNeeded(request) === 'operate') {
      throw forbidden(
        'This call changes something: it needs the scope "admin" or the admin token.',
        'admin_role'
      )
    }
  })
}

function roleOf({ scopes }: Principal): Role | undefined {
  if (scopes.includes('admin')) return 'operate'
  return scopes.includes('admin:read') ? 'read' : undefined
}

const forbidden = (sentence: string, reason: string) =>
  Forbidden([sentence], {
    reason,
    headers: { 'www-authenticate': 'Bearer realm="admin", error="insufficient_scope", scope="admin"' }
  })

/** Compares in constant time; a token that is not there is compared as well, with what nobody has. */
function comparison(token: string | undefined): (digested: Buffer) => boolean {
  const expected = token === undefined ? randomBytes(32) : digest(token)
  return (digested) => timingSafeEqual(digested, expected)
}

/** Clients that always name JSON, also with nothing to send, have sent nothing. */
export function takeEmptyBodies(admin: FastifyInstance): void {
  const parse = admin.getDefaultJsonParser('error', 'error')
  admin.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else parse(request, body as string, done)
  })
}

const holder = (subject: string, scope: string): Principal =>
  Object.freeze({ subject, session: undefined, scopes: [scope], claims: {}, isOwn: true })

/** Whoever holds the admin token, and whoever holds the one that only looks. */
const operator = holder('admin-token', 'admin')
const reader = holder('read-token', 'admin:read')

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
