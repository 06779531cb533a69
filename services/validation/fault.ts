import type { ErrorObject } from 'ajv'
import { pointerOf } from '../../config/pointer.ts'
import type { Part } from './slice.ts'

/** One thing that is wrong with a request, as its client is told; holds nothing of what was sent but names. */
export interface Fault {
  readonly in: Part
  /** RFC 6901; '' is the whole. */
  readonly pointer: string
  readonly message: string
}

/** Names of members are the client's, and may be as long as the body: no longer pointer than this goes back. */
const maxPointer = 300

/** Says it in plain words. */
export function faultOf(part: Part, { instancePath, keyword, params }: ErrorObject): Fault {
  const name: unknown = params.missingProperty ?? params.additionalProperty ?? params.unevaluatedProperty
  const pointer =
    instancePath + (typeof name === 'string' && keyword !== 'dependentRequired' ? pointerOf(name) : '')
  return {
    in: part,
    pointer: pointer.length <= maxPointer ? pointer : '',
    message: Object.hasOwn(sentences, keyword) ? sentences[keyword]!(params) : 'is not as the schema says'
  }
}

type Params = Readonly<Record<string, unknown>>

const comparisons: Readonly<Record<string, string>> = {
  '>=': 'at least',
  '<=': 'at most',
  '>': 'more than',
  '<': 'less than'
}

const bound = ({ comparison, limit }: Params): string =>
  `must be ${comparisons[String(comparison)]} ${String(limit)}`

const count =
  (bounds: string, one: string, many: string) =>
  ({ limit }: Params): string =>
    `must have ${bounds} ${String(limit)} ${limit === 1 ? one : many}`

const unwanted = (): string => 'is not taken here'

const sentences: Readonly<Record<string, (params: Params) => string>> = {
  type: ({ type }) => `must be of type ${[type].flat().join(' or ')}`,
  required: () => 'is missing',
  dependentRequired: () => 'lacks a member that goes with one it has',
  dependencies: () => 'lacks a member that goes with one it has',
  additionalProperties: unwanted,
  unevaluatedProperties: unwanted,
  'false schema': unwanted,
  additionalItems: ({ limit }) => `must have at most ${String(limit)} items`,
  unevaluatedItems: () => 'has items that are not taken here',
  items: ({ limit }) => `must have at most ${String(limit)} items`,
  minimum: bound,
  maximum: bound,
  exclusiveMinimum: bound,
  exclusiveMaximum: bound,
  multipleOf: ({ multipleOf }) => `must be a multiple of ${String(multipleOf)}`,
  minLength: count('at least', 'character', 'characters'),
  maxLength: count('at most', 'character', 'characters'),
  minItems: count('at least', 'item', 'items'),
  maxItems: count('at most', 'item', 'items'),
  minProperties: count('at least', 'member', 'members'),
  maxProperties: count('at most', 'member', 'members'),
  pattern: () => 'does not have the form that is wanted',
  format: ({ format }) => `must be of the format ${String(format)}`,
  enum: () => 'must be one of the values that are allowed',
  const: () => 'must be the one value that is allowed',
  uniqueItems: () => 'must not have an item twice',
  contains: () => 'does not have the items that are wanted',
  propertyNames: () => 'has a member whose name is not taken',
  anyOf: () => 'is none of what is allowed',
  oneOf: () => 'must be exactly one of what is allowed',
  not: () => 'is what is not allowed',
  if: () => 'does not fit the rest of what was sent'
}
