import type { JSONSchema } from './schema.ts'

/** The parameters or headers of a request: text by name, a list where a name came more than once. */
export type Texts = Readonly<Record<string, string | readonly string[]>>

const number = /^-?(?:0|[1-9]\d{0,300})(?:\.\d{1,300})?(?:[eE][+-]?\d{1,2})?$/

/** Reads text as what the schema wants it to be, in one way only: no blanks, no "0x10", no "yes". What is sent on is not changed. */
export function valuesFor(schema: JSONSchema): (texts: Texts) => Readonly<Record<string, unknown>> {
  const wanted = new Map(
    Object.entries((schema.properties ?? {}) as Readonly<Record<string, unknown>>).map(([name, property]) => [
      name,
      wantOf(property)
    ])
  )
  return (texts) => {
    // Without a prototype, "__proto__" is a name like any other.
    const values: Record<string, unknown> = Object.create(null)
    for (const name of Object.keys(texts)) values[name] = read(texts[name]!, wanted.get(name))
    return values
  }
}

interface Want {
  readonly types: ReadonlySet<unknown>
  readonly items: ReadonlySet<unknown>
}

const wantOf = (property: unknown): Want => ({
  types: typesOf(property),
  items: typesOf((property as { items?: unknown } | null)?.items)
})

const typesOf = (schema: unknown): ReadonlySet<unknown> =>
  new Set([(schema as { type?: unknown } | null | undefined)?.type].flat())

function read(text: string | readonly string[], want: Want | undefined): unknown {
  if (want === undefined) return text
  if (typeof text !== 'string') return text.map((one) => scalar(one, want.items))
  return want.types.has('array') ? [scalar(text, want.items)] : scalar(text, want.types)
}

function scalar(text: string, types: ReadonlySet<unknown>): unknown {
  if (types.has('string')) return text
  if ((types.has('number') || types.has('integer')) && number.test(text)) return Number(text)
  if (types.has('boolean') && (text === 'true' || text === 'false')) return text === 'true'
  return text
}
