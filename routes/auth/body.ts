import formbody from '@fastify/formbody'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { BadRequest } from '../../errors.ts'
import { readObject } from '../../services/identity/tokens/strict-json.ts'

const maxTokenLength = 4096
const maxClientLength = 64
const maxDepth = 8

/**
 * Doors take forms and JSON, nothing else: a page of another origin can send text/plain unasked. A JSON object that has a member
 * twice is refused, as a form is: which of them counts is open. Clients that name JSON and send nothing have sent nothing.
 */
export async function takeBodies(doors: FastifyInstance, bodyLimit: number): Promise<void> {
  doors.removeAllContentTypeParsers()
  await doors.register(formbody, { bodyLimit })
  doors.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit },
    async (_request: FastifyRequest, body: string | Buffer) => {
      if (body.length === 0) return undefined
      const fields = readObject(body as Buffer, maxDepth)
      if (fields === undefined) {
        throw BadRequest(['The body has to be a JSON object with each field once.'], { reason: 'body_json' })
      }
      return fields
    }
  )
}

/** A text field of a JSON or form body; refuses a body without it, and a form that has it twice. */
export function textField(body: unknown, name: string, maxLength = 4096): string {
  const value = optionalField(body, [name], maxLength)
  if (value === undefined) throw BadRequest([`Send "${name}" as text.`], { reason: 'body_field' })
  return value
}

/** The refresh token of a body, in either spelling; undefined without one. */
export const refreshTokenField = (body: unknown): string | undefined =>
  optionalField(body, ['refresh_token', 'refreshToken'], maxTokenLength)

/** The client a body names, in either spelling; undefined without one. */
export const clientField = (body: unknown): string | undefined =>
  optionalField(body, ['client_id', 'clientId'], maxClientLength)

/** A switch of a JSON or form body; off without it. */
export function flagField(body: unknown, name: string): boolean {
  if (typeof body !== 'object' || body === null || !Object.hasOwn(body, name)) return false
  const value = (body as Readonly<Record<string, unknown>>)[name]
  if (value === true || value === 'true') return true
  if (value === false || value === 'false') return false
  throw BadRequest([`"${name}" has to be true or false.`], { reason: 'body_field' })
}

function optionalField(body: unknown, names: readonly string[], maxLength: number): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const found = names.filter((name) => Object.hasOwn(body, name))
  if (found.length === 0) return undefined
  const value = (body as Readonly<Record<string, unknown>>)[found[0]!]
  if (found.length > 1 || typeof value !== 'string' || value.length > maxLength) {
    throw BadRequest([`"${found[0]}" has to be given once, as text.`], { reason: 'body_field' })
  }
  return value
}
