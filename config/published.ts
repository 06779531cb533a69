import { type Slice, schemaOf } from './compose.ts'
import type { AnySchema } from './schema.ts'

/**
 * What gateway.schema.json holds, for editors: the schema of a whole file, in which nothing with a default is required, and a
 * reference such as `${PORT}` may stand wherever a string could not.
 */
export function publishedSchema(slices: readonly Slice[]): Readonly<Record<string, unknown>> {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Tollkeeper: gateway.config.json',
    ...published(schemaOf(slices) as AnySchema)
  }
}

type Plain = Readonly<Record<string, unknown>>

const reference = { type: 'string', pattern: '\\$\\{[^}]+\\}' }

function published(schema: AnySchema): Plain {
  const { description, default: fallback, ...rest } = schema
  const about = { ...(description && { description }), ...(fallback !== undefined && { default: fallback }) }
  if (schema.anyOf !== undefined) {
    const branches = schema.anyOf.map(bare)
    const anyOf = schema.anyOf.some(takesNoReference) ? [...branches, reference] : branches
    return { ...about, anyOf }
  }
  return takesNoReference(schema)
    ? { ...about, anyOf: [bare(rest as AnySchema), reference] }
    : { ...about, ...bare(rest as AnySchema) }
}

/** One schema as plain JSON; TypeBox's symbols stay behind, and so does what only the gateway reads. */
function bare(schema: AnySchema): Plain {
  const { properties, patternProperties, required, items, anyOf, allOf, secret, ...rest } = schema
  const missing = required?.filter((key) => properties?.[key]?.default === undefined) ?? []
  return {
    ...Object.fromEntries(Object.entries(rest)),
    ...(secret && { writeOnly: true }),
    ...(properties && { properties: publishedEntries(properties) }),
    ...(patternProperties && { patternProperties: publishedEntries(patternProperties) }),
    ...(missing.length > 0 && { required: missing }),
    ...(items && { items: Array.isArray(items) ? items.map(published) : published(items as AnySchema) }),
    ...(anyOf && { anyOf: anyOf.map(published) }),
    ...(allOf && { allOf: allOf.map(published) })
  }
}

const publishedEntries = (entries: Readonly<Record<string, AnySchema>>): Plain =>
  Object.fromEntries(Object.entries(entries).map(([key, schema]) => [key, published(schema)]))

const takesNoReference = ({ type, pattern, const: fixed, maxLength }: AnySchema): boolean =>
  fixed !== undefined ||
  type === 'integer' ||
  type === 'number' ||
  type === 'boolean' ||
  (type === 'string' && (pattern ?? maxLength) !== undefined)
