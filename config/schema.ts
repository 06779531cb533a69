import { Kind, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import type { Pace } from './pace.ts'
import { keysOf, pointerOf } from './pointer.ts'

/** The parts of a schema that the config reads, whatever kind it is of. */
export interface AnySchema extends TSchema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, AnySchema>>
  readonly additionalProperties?: boolean | AnySchema
  readonly patternProperties?: Readonly<Record<string, AnySchema>>
  readonly required?: readonly string[]
  readonly items?: AnySchema | readonly AnySchema[]
  readonly anyOf?: readonly AnySchema[]
  readonly allOf?: readonly AnySchema[]
  readonly const?: unknown
  readonly pattern?: string
  /** What the field holds is never shown. */
  readonly secret?: boolean
}

export const kindOf = (schema: TSchema): string => String((schema as { [Kind]?: string })[Kind])

/** A union's branches, unions in it opened; any other schema alone. */
export const branchesOf = (schema: AnySchema): readonly AnySchema[] =>
  schema.anyOf === undefined ? [schema] : schema.anyOf.flatMap(branchesOf)

/** The key whose fixed value tells the branches of a union of objects apart, such as `driver`. */
export const tagOf = (branches: readonly AnySchema[]): string | undefined =>
  Object.keys(branches[0]?.properties ?? {}).find((key) =>
    branches.every(({ properties }) => properties?.[key]?.const !== undefined)
  )

/** What can stand under one key of what a schema describes. */
export function under(schema: AnySchema, key: string): readonly AnySchema[] {
  if (schema.anyOf ?? schema.allOf)
    return (schema.anyOf ?? schema.allOf)!.flatMap((branch) => under(branch, key))
  if (Array.isArray(schema.items)) return schema.items[Number(key)] ? [schema.items[Number(key)]] : []
  if (schema.items !== undefined) return [schema.items as AnySchema]
  if (schema.properties && Object.hasOwn(schema.properties, key)) return [schema.properties[key]!]
  for (const [pattern, entry] of Object.entries(schema.patternProperties ?? {})) {
    if (new RegExp(pattern).test(key)) return [entry]
  }
  return typeof schema.additionalProperties === 'object' ? [schema.additionalProperties] : []
}

/** Every schema that describes what a pointer leads to; none when the place is unknown. */
export const schemasAt = (root: AnySchema, pointer: string): readonly AnySchema[] =>
  keysOf(pointer).reduce<readonly AnySchema[]>(
    (schemas, key) => schemas.flatMap((schema) => under(schema, key)),
    [root]
  )

/** Is the field, or anything it is part of, marked `secret`? */
export function isSecret(root: AnySchema, pointer: string): boolean {
  const keys = keysOf(pointer)
  return keys.some((_, index) => schemasAt(root, pointerOf(...keys.slice(0, index + 1))).some(isMarked))
}

/** Is a schema, or a branch of it, marked `secret`? */
export const isMarked = (schema: AnySchema): boolean =>
  schema.secret === true || (schema.anyOf?.some(isMarked) ?? false)

/** Is anything in what a schema describes marked `secret`? */
export function holdsSecret(schema: AnySchema): boolean {
  const { properties, patternProperties, additionalProperties, items, anyOf, allOf } = schema
  const inner = [properties, patternProperties, anyOf, allOf, Array.isArray(items) ? items : [items]]
  return (
    schema.secret === true ||
    (typeof additionalProperties === 'object' && holdsSecret(additionalProperties)) ||
    inner.some((one) =>
      Object.values<AnySchema | undefined>(one ?? {}).some((each) => each && holdsSecret(each))
    )
  )
}

/**
 * Fills in the defaults of what is missing, in objects, lists, records and the branch of a union that fits; the value given is not changed.
 *
 * Not TypeBox's `Value.Default`: that one leaves records alone unless their entries have a default themselves, and visits
 * every property twice, so that its cost doubles with each level.
 */
export function withDefaults(schema: AnySchema, value: unknown): unknown {
  const given = value === undefined ? structuredClone(schema.default as unknown) : value
  if (given === undefined) return undefined
  if (schema.anyOf !== undefined) {
    for (const branch of schema.anyOf) {
      const filled = withDefaults(branch, given)
      if (Value.Check(branch, filled)) return filled
    }
    return given
  }
  if (schema.allOf !== undefined)
    return schema.allOf.reduce<unknown>((whole, part) => withDefaults(part, whole), given)
  if (Array.isArray(given)) {
    return given.map((item, index) => {
      const [items] = under(schema, String(index))
      return items === undefined ? item : withDefaults(items, item)
    })
  }
  if (given === null || typeof given !== 'object') return given
  const filled: Record<string, unknown> = { ...given }
  for (const key of new Set([...Object.keys(schema.properties ?? {}), ...Object.keys(given)])) {
    const [entry] = under(schema, key)
    const whole = entry && withDefaults(entry, filled[key])
    if (whole !== undefined) filled[key] = whole
  }
  return filled
}

/** The same for a whole config, in turns: items of lists at its top are filled in one by one, and what is `known` to be whole is left. */
export async function withDefaultsInTurns(
  schema: AnySchema,
  value: unknown,
  known: ReadonlySet<unknown>,
  pace: Pace
): Promise<unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return withDefaults(schema, value)
  const rest: Record<string, unknown> = { ...value }
  const lists: Record<string, unknown[]> = {}
  for (const [key, list] of Object.entries(value)) {
    const [entry] = under(schema, key)
    if (!Array.isArray(list) || entry === undefined || kindOf(entry) !== 'Array') continue
    const whole: unknown[] = []
    for (const [index, item] of list.entries()) {
      const [items] = known.has(item) ? [] : under(entry, String(index))
      whole.push(items === undefined ? item : withDefaults(items, item))
      if (pace.isDue) await pace.rest()
    }
    lists[key] = whole
    rest[key] = []
  }
  return Object.assign(withDefaults(schema, rest) as object, lists)
}

/** Turns text from outside into the number or boolean that the schema wants, and only where it takes no string. */
export function coerce(schemas: readonly AnySchema[], text: string): string | number | boolean {
  const branches = schemas.flatMap(branchesOf)
  if (branches.some((branch) => Value.Check(branch, text))) return text
  const wants = (kind: string, type: string): boolean =>
    branches.some((branch) => kindOf(branch) === kind || typeof branch.const === type)
  if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)) {
    if (wants('Integer', 'number') || wants('Number', 'number')) return Number(text)
  }
  if ((text === 'true' || text === 'false') && wants('Boolean', 'boolean')) return text === 'true'
  return text
}
