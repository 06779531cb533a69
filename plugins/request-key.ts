import type { FastifyRequest } from 'fastify'
import { flat } from '../services/flat.ts'
import { cookieOf } from '../services/identity/users/device.ts'
import { keyPart, networkOf } from '../services/limits/subject.ts'

/** Whose a request is: whose bucket it is counted in, on whose side of a canary it is. */
export type KeyOf = (request: FastifyRequest) => string

/**
 * Settles what `by` means while the config is loaded. What a request does not have (no header, nobody signed in) falls back to
 * the client's address, so that leaving something out is never the way around a limit.
 */
export function keyBy(by: string | readonly string[]): KeyOf {
  if (typeof by !== 'string') return byAll(by.map(keyBy))
  const [kind, name = ''] = by.split(/:(.*)/s, 2)
  if (kind === 'route') return () => 'all'
  if (kind === 'header') return byHeader(name.toLowerCase())
  if (kind === 'claim') return byClaim(name)
  if (kind === 'cookie') return byCookie(name)
  if (kind === 'subject') return bySubject
  if (kind === 'api-key') return byApiKey
  return byAddress
}

/** Whether the key can only be told once it is known who asks. */
export const needsPrincipal = (by: string): boolean =>
  by === 'subject' || by === 'api-key' || by.startsWith('claim:')

/** A combination: each part has a fixed prefix, and no part can hold the separator. */
const byAll = (keys: readonly KeyOf[]): KeyOf => {
  return (request) => keys.map((keyOf) => keyOf(request)).join('|')
}

const byAddress: KeyOf = ({ exchange }) => `ip:${networkOf(exchange.client)}`

const bySubject: KeyOf = (request) => {
  const { principal } = request.exchange
  if (principal === undefined) return byAddress(request)
  const { subject, notes } = principal
  if (notes === undefined) return `sub${keyPart(subject)}`
  if (notes.key === '') notes.key = flat(`sub${keyPart(subject)}`)
  return notes.key
}

const byApiKey: KeyOf = (request) => {
  const key = request.exchange.principal?.key
  return key === undefined ? bySubject(request) : `key=${key}`
}

const byHeader = (name: string): KeyOf => {
  return (request) => {
    const value = request.headers[name]
    return value === undefined ? byAddress(request) : `header${keyPart(String(value))}`
  }
}

const byClaim = (name: string): KeyOf => {
  return (request) => {
    const value = request.exchange.principal?.claims[name]
    return value === undefined || value === null
      ? bySubject(request)
      : `claim${keyPart(typeof value === 'string' ? value : JSON.stringify(value))}`
  }
}

const byCookie = (name: string): KeyOf => {
  return (request) => {
    const value = cookieOf(request.headers.cookie, name)
    return value === undefined ? byAddress(request) : `cookie${keyPart(value)}`
  }
}
