import { createRequire } from 'node:module'
import type { Ajv, ErrorObject, ValidateFunction } from 'ajv'
import type { Ajv2020 } from 'ajv/dist/2020.js'
import type formats from 'ajv-formats'
import { pointerOf } from '../../config/pointer.ts'

export type JSONSchema = Readonly<Record<string, unknown>>

/** A schema that cannot be used; `pointer` leads to the place in it. */
export class SchemaError extends Error {
  readonly pointer: string

  constructor(pointer: string, sentence: string) {
    super(sentence)
    this.pointer = pointer
  }
}

/** Tells what is wrong with a value; undefined when nothing is. */
export type Judge = (value: unknown) => ErrorObject | undefined

/** Most items that may be compared with one another. */
const maxUnique = 1000

const draft07 = /^https?:\/\/json-schema\.org\/draft-07\/schema#?$/
const draft2020 = /^https:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/

const settings = {
  // The first mistake ends it: a hostile body costs no more than one.
  allErrors: false,
  strict: true,
  strictTypes: false,
  strictTuples: false,
  strictRequired: false,
  // A number too large for JavaScript is refused before; none may slip past a bound by not being finite.
  strictNumbers: false,
  // What every object inherits ("toString") is no member of a body.
  ownProperties: true,
  logger: false
} as const

/** The packages are loaded with the first schema: most configs have none, and they make every start slower. */
function newCompiler(isDraft07: boolean): Ajv | Ajv2020 {
  const load = createRequire(import.meta.url)
  const { Ajv: Draft07 } = load('ajv') as { Ajv: typeof Ajv }
  const { Ajv2020: Draft2020 } = load('ajv/dist/2020.js') as { Ajv2020: typeof Ajv2020 }
  const ajv = isDraft07 ? new Draft07(settings) : new Draft2020(settings)
  const { default: addFormats } = load('ajv-formats') as typeof formats
  addFormats(ajv)
  return ajv
}

/** Compiles a schema, once, while a config is loaded. Throws a SchemaError. */
export function compileSchema(schema: JSONSchema): Judge {
  refuseHarmful(schema, '')
  const { $schema: draft } = schema
  const isDraft07 = typeof draft === 'string' && draft07.test(draft)
  if (draft !== undefined && !isDraft07 && !(typeof draft === 'string' && draft2020.test(draft))) {
    throw new SchemaError('/$schema', 'only the drafts 2020-12 and 07 of JSON Schema are known')
  }
  const ajv = newCompiler(isDraft07)
  // A frozen config is not to be written to. Each schema has a compiler of its own, so that none knows another by its $id.
  const own = structuredClone(schema)
  if (ajv.validateSchema(own) !== true) {
    const [error] = ajv.errors ?? []
    throw new SchemaError(
      error?.instancePath ?? '',
      `this is no JSON Schema: it ${error?.message ?? 'is odd'}`
    )
  }
  let validate: ValidateFunction
  try {
    validate = ajv.compile(own)
  } catch (error) {
    throw placed(error as Error, schema)
  }
  for (const sample of [null, 0, '', [], {}]) {
    try {
      validate(sample)
    } catch {
      throw new SchemaError('', 'a "$ref" leads back to itself without end')
    }
  }
  return (value) => (validate(value) ? undefined : validate.errors?.at(-1))
}

/** Refuses what is right by JSON Schema and wrong here. */
function refuseHarmful(value: unknown, pointer: string): void {
  if (typeof value !== 'object' || value === null) return
  const { $async: isAsync, uniqueItems, maxItems, $ref, $dynamicRef } = value as JSONSchema
  // It would make every verdict a promise, which is always true.
  if (isAsync === true) throw new SchemaError(`${pointer}/$async`, '"$async" is not taken')
  for (const [name, to] of Object.entries({ $ref, $dynamicRef })) {
    if (typeof to === 'string' && !to.startsWith('#')) {
      throw new SchemaError(
        pointer + pointerOf(name),
        `"${name}" has to start with "#": nothing is fetched, write the schema into "$defs"`
      )
    }
  }
  if (uniqueItems === true && !(typeof maxItems === 'number' && maxItems <= maxUnique)) {
    throw new SchemaError(
      `${pointer}/uniqueItems`,
      `"uniqueItems" compares every item with every other; put "maxItems" of at most ${maxUnique} beside it`
    )
  }
  for (const [key, inner] of Object.entries(value)) refuseHarmful(inner, pointer + pointerOf(key))
}

/** What the compiler has against a schema, at the place where it is. */
function placed({ message }: Error, schema: JSONSchema): SchemaError {
  const [, keyword] = /unknown keyword: "([^"]*)"/.exec(message) ?? []
  if (keyword !== undefined) {
    return new SchemaError(find(schema, keyword) ?? '', `"${keyword}" is no keyword of JSON Schema`)
  }
  const [, format, at] = /unknown format "([^"]*)" ignored in schema at path "#?([^"]*)"/.exec(message) ?? []
  if (format !== undefined) return new SchemaError(`${at}/format`, `the format "${format}" is not known`)
  const [, ref] = /can't resolve reference (\S+) from id/.exec(message) ?? []
  if (ref !== undefined) {
    return new SchemaError(
      find(schema, '$ref', (to) => to === ref) ?? '',
      `"$ref" leads to "${ref}", where nothing is`
    )
  }
  const broken = find(schema, 'pattern', (text) => typeof text === 'string' && !isPattern(text))
  if (broken !== undefined) return new SchemaError(broken, 'this is not a regular expression')
  return new SchemaError('', `this schema cannot be used: ${message.replace(/^strict mode: /, '')}`)
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, 'u') instanceof RegExp
  } catch {
    return false
  }
}

/** Where a key first stands whose value fits. */
function find(
  value: unknown,
  key: string,
  fits: (value: unknown) => boolean = () => true
): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  for (const [name, inner] of Object.entries(value)) {
    if (name === key && fits(inner)) return pointerOf(name)
    const below = find(inner, key, fits)
    if (below !== undefined) return pointerOf(name) + below
  }
  return undefined
}
