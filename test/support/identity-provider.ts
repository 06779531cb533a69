import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { CompactSign, exportJWK, generateKeyPair, type JWK } from 'jose'

type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>

export interface SignOptions {
  readonly kid?: string
  readonly header?: Readonly<Record<string, unknown>>
  /** Signs with another key than the one the kid names. */
  readonly by?: KeyPair
}

/** A real server that publishes keys and signs tokens with them, as an identity provider does. */
export interface IdentityProvider {
  readonly issuer: string
  readonly port: number
  /** Paths that were asked for, in order. */
  readonly asked: string[]
  /** What to do instead of answering well; undefined for a sound answer. */
  misbehave: ((request: IncomingMessage, response: ServerResponse) => void) | undefined
  cacheControl: string | undefined
  /** Members of the discovery document that are other than they should be. */
  discovery: Record<string, unknown>
  published: JWK[]
  /** Makes a key; it is published at once unless told otherwise. */
  addKey(kid: string, alg?: string, isPublished?: boolean): Promise<KeyPair>
  publicJwk(kid: string): JWK
  sign(claims?: Record<string, unknown>, options?: SignOptions): Promise<string>
  stop(): Promise<void>
  /** Serves again, at the same port. */
  restart(): Promise<void>
}

/** Starts one with one ES256 key, "k1". With `tls` it serves https as localhost. */
export async function startIdentityProvider(
  t: { teardown(handler: () => unknown): void },
  tls?: { readonly key: string; readonly cert: string }
): Promise<IdentityProvider> {
  const keys = new Map<string, { pair: KeyPair; alg: string; jwk: JWK }>()
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    provider.asked.push(request.url ?? '')
    if (provider.misbehave !== undefined) {
      provider.misbehave(request, response)
      return
    }
    const { issuer } = provider
    const documents: Record<string, unknown> = {
      '/.well-known/openid-configuration': { issuer, jwks_uri: `${issuer}/keys`, ...provider.discovery },
      '/keys': { keys: provider.published }
    }
    const document = documents[request.url ?? '']
    if (provider.cacheControl !== undefined) response.setHeader('cache-control', provider.cacheControl)
    response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(document ?? {}))
  }
  let server = tls === undefined ? createServer(serve) : createSecureServer(tls, serve)
  const listen = (port: number) =>
    new Promise<void>((resolve) => void server.listen(port, '127.0.0.1', () => resolve()))
  await listen(0)
  const { port } = server.address() as AddressInfo
  const provider: IdentityProvider = {
    issuer: tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`,
    port,
    asked: [],
    misbehave: undefined,
    cacheControl: undefined,
    discovery: {},
    published: [],
    async addKey(kid, alg = 'ES256', isPublished = true) {
      const pair = await generateKeyPair(alg, { extractable: true })
      const jwk = { ...(await exportJWK(pair.publicKey)), kid, alg, use: 'sig' }
      keys.set(kid, { pair, alg, jwk })
      if (isPublished) provider.published.push(jwk)
      return pair
    },
    publicJwk: (kid) => keys.get(kid)!.jwk,
    sign(claims = {}, { kid = 'k1', header = {}, by } = {}) {
      const now = Math.floor(Date.now() / 1000)
      const { pair, alg } = keys.get(kid)!
      const usual = {
        iss: provider.issuer,
        sub: 'kesa',
        aud: 'api',
        iat: now,
        exp: now + 300,
        jti: `j${Math.random()}`
      }
      return new CompactSign(Buffer.from(JSON.stringify({ ...usual, ...claims })))
        .setProtectedHeader({ alg, kid, typ: 'at+jwt', ...header })
        .sign((by ?? pair).privateKey)
    },
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
    async restart() {
      server = tls === undefined ? createServer(serve) : createSecureServer(tls, serve)
      await listen(port)
    }
  }
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await provider.addKey('k1')
  return provider
}
