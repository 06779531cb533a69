import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { missing } from '../../services/identity/challenge.ts'
import type { Identity } from '../../services/identity/identity.ts'
import { signingAlgorithms } from '../../services/identity/keys/signing-key.ts'
import { signForUser } from '../../services/identity/keys/user-tokens.ts'
import type { AccessClaims } from '../../services/identity/tokens/claims.ts'
import type { JSONObject } from '../../services/identity/tokens/strict-json.ts'
import { ownerOf } from '../../services/identity/tokens/user-key.ts'
import { bearerOf } from './bearer.ts'
import { refused } from './refusals.ts'

declare module '@fastify/jwt' {
  interface FastifyJWT {
    payload: object
    user: AccessClaims
  }
}

/**
 * Registers @fastify/jwt over the key ring: `reply.jwtSign` signs what the doors give out, `request.user` holds the claims, and
 * `request.jwtVerify()` works for plugins that know it, with the gateway's own verifier having the last word.
 */
export async function registerJwt(
  app: FastifyInstance,
  identity: Identity,
  { issuer, audience }: { readonly issuer: string; readonly audience: string }
): Promise<void> {
  const { keys } = identity
  await app.register(fastifyJwt, {
    secret: {
      private: (_request, _payload, done) => done(null, keys.active().signer),
      public: (_request, token, done) => {
        const { header, payload } = token as { header: { kid?: unknown }; payload: JSONObject }
        // A user's key comes as bytes, for which the plugin keeps no verifier.
        const key =
          typeof header.kid === 'string' ? keys.checker(header.kid, ownerOf(issuer, payload)) : undefined
        if (key === undefined) done(refused('kid') as unknown as Error, undefined)
        else done(null, key)
      }
    },
    decode: { complete: true },
    // A plugin's own call is signed as its key wants it; what the doors sign says more.
    sign: {},
    verify: {
      algorithms: [...signingAlgorithms],
      checkTyp: 'at+jwt',
      allowedIss: issuer,
      allowedAud: audience,
      requiredClaims: ['exp', 'iat', 'sub', 'jti'],
      cache: false,
      errorCacheTTL: -1,
      // fast-jwt gets to see only what has passed our verifier, and refusals are in our words.
      extractToken: ({ raw }) => {
        const token = bearerOf(raw)
        if (token === undefined) throw missing()
        const verdict = identity.checkStateless(token, audience)
        if (typeof verdict === 'string') throw refused(verdict)
        return token
      }
    },
    trusted: async (request) => {
      const verdict = await identity.checkToken(bearerOf(request.raw) ?? '', {
        session: 'revocable',
        audience
      })
      if (typeof verdict === 'string') throw refused(verdict)
      return true
    }
  })
}

/** An access token with these claims (RFC 9068), signed by the active key or that of its user. */
export async function signAccess(
  reply: FastifyReply,
  identity: Identity,
  claims: AccessClaims
): Promise<string> {
  const { keys } = identity
  if (keys.isPerUser) return signForUser(keys, claims, (sentence) => reply.log.warn(sentence))
  const { kid, alg, signer } = keys.active()
  return reply.jwtSign(claims, {
    key: signer,
    algorithm: alg,
    header: { alg, typ: 'at+jwt', kid }
  })
}
