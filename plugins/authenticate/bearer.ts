import { oneHeader, type Read } from './one-header.ts'

const scheme = /^bearer(?: |$)/i
const authorization = oneHeader('Authorization', 'authorization_twice')

/**
 * The token of `Authorization: Bearer`, the only place one is taken from: never the query, where logs and Referer would keep it.
 * Undefined without credentials of this scheme.
 */
export const bearerOf: Read = (raw) => {
  const value = authorization(raw)
  return value !== undefined && scheme.test(value) ? value.slice(7) : undefined
}
