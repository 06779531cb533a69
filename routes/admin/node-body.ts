import { nearest } from '../../config/nearest.ts'
import { orList, quoted } from '../../config/sentence.ts'
import { BadRequest } from '../../errors.ts'
import type { NodeState } from '../../services/upstream/member.ts'

/** What may be said of a node. */
export interface NodeBody {
  readonly id?: string
  readonly url?: string
  readonly weight?: number
  readonly state?: NodeState
}

type Field = keyof NodeBody

/** Each field: whether a value is right, and what is. */
const fields: Readonly<Record<Field, readonly [isRight: (value: unknown) => boolean, rule: string]>> = {
  id: [
    (value) => typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(value),
    'text of 1 to 100 letters, digits, ".", "_" and "-", beginning with a letter or digit'
  ],
  url: [
    (value) =>
      typeof value === 'string' &&
      value.length <= 2000 &&
      /^https?:\/\/[^\s?#@]+$/.test(value) &&
      URL.canParse(value),
    'where the node is, such as "http://10.0.0.7:8080", without user, query and fragment'
  ],
  weight: [
    (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 1000,
    'a whole number from 0 to 1000'
  ],
  state: [(value) => value === 'up' || value === 'drain' || value === 'down', '"up", "drain" or "down"']
}

/** Reads a body that may hold some of the fields; refuses with what is wrong, and what would be right. */
export function nodeBody(body: unknown, allowed: readonly Field[], example: string): NodeBody {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw refuse(`Send a JSON object, such as ${example}.`)
  }
  for (const [name, value] of Object.entries(body)) {
    if (!(allowed as readonly string[]).includes(name)) {
      const meant = nearest(name, allowed)
      const known = meant === undefined ? `there are ${orList(quoted(allowed))}` : `did you mean "${meant}"?`
      throw refuse(`"${name.slice(0, 64)}" is not known here; ${known}`)
    }
    const [isRight, rule] = fields[name as Field]
    if (!isRight(value)) throw refuse(`"${name}" has to be ${rule}.`)
  }
  return body
}

export const refuse = (sentence: string) => BadRequest([sentence], { reason: 'body_field' })
