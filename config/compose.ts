import { OptionalKind, type Static, type TObject, type TSchema, Type } from '@sinclair/typebox'

/** One key of the config file and what it adds to each route; a plugin is one, and so are `services` and `routes`. */
export interface Slice {
  readonly key: string
  readonly slice?: TSchema
  readonly route?: TObject
}

/** A slice that may be left out of the file and has no default. */
type Absent = { readonly slice?: { [OptionalKind]: 'Optional' } }

type SliceType<S> = S extends { readonly slice?: infer Schema }
  ? Schema extends TSchema
    ? Static<Schema>
    : never
  : never

/**
 * The type of a whole config, inferred from the slices it is made of. A key is there when its slice has a default or is required;
 * only a slice that is itself `Type.Optional` may be missing.
 */
export type ConfigOf<Slices extends readonly Slice[]> = {
  readonly [S in Slices[number] as S extends Absent ? never : S['key']]: SliceType<S>
} & {
  readonly [S in Slices[number] as S extends Absent ? S['key'] : never]?: SliceType<S>
}

/** The schema of a whole config file. What every slice reads of a route is merged into the items of `routes`. */
export function schemaOf(slices: readonly Slice[]): TObject {
  const properties: Record<string, TSchema> = {
    $schema: Type.Optional(
      Type.String({
        description: 'Where editors find the schema of this file; the gateway does not read it.'
      })
    )
  }
  for (const { key, slice } of slices) {
    if (slice === undefined) continue
    if (Object.hasOwn(properties, key)) throw new TypeError(`two slices have the key "${key}"`)
    properties[key] = closed(key === 'routes' ? withFragments(slice, slices) : slice)
  }
  return Type.Object(properties, { additionalProperties: false })
}

function withFragments(routes: TSchema, slices: readonly Slice[]): TSchema {
  const { items } = routes as TSchema & { items: TObject }
  if (items?.properties === undefined) throw new TypeError('the slice "routes" has to be an array of objects')
  const properties: Record<string, TSchema> = { ...items.properties }
  for (const { key, route } of slices) {
    for (const [name, schema] of Object.entries(route?.properties ?? {})) {
      if (Object.hasOwn(properties, name)) {
        throw new TypeError(`"${key}" adds "${name}" to a route, which has one already`)
      }
      properties[name] = schema
    }
  }
  const { type: _, properties: __, required: ___, ...options } = items
  return { ...routes, items: Type.Object(properties, options) } as TSchema
}

/**
 * The same schema, taking no keys but those it names. A slice that forgets to say so would let a misspelt key pass in silence, and
 * with it perhaps what the key was to forbid. Parts of an intersection stay open: each sees the keys of the others.
 */
export function closed<Schema extends TSchema>(schema: Schema, isPart = false): Schema {
  const { properties, patternProperties, items, anyOf, allOf, additionalProperties } = schema
  const isOpen =
    !isPart && (properties ?? patternProperties) !== undefined && additionalProperties === undefined
  return {
    ...schema,
    ...(properties && { properties: closedEntries(properties) }),
    ...(patternProperties && { patternProperties: closedEntries(patternProperties) }),
    ...(items && { items: Array.isArray(items) ? items.map((item) => closed(item)) : closed(items) }),
    ...(anyOf && { anyOf: anyOf.map((branch: TSchema) => closed(branch)) }),
    ...(allOf && { allOf: allOf.map((part: TSchema) => closed(part, true)) }),
    ...(isOpen && { additionalProperties: false })
  }
}

const closedEntries = (entries: Record<string, TSchema>): Record<string, TSchema> =>
  Object.fromEntries(Object.entries(entries).map(([key, schema]) => [key, closed(schema)]))
