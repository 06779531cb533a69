import type { TSchema } from '@sinclair/typebox'
import { keysOf } from './pointer.ts'
import { type AnySchema, coerce, isSecret, kindOf, schemasAt, withDefaults } from './schema.ts'
import { type Finding, type ValidateOptions, validate } from './validate.ts'

/** A schema and the place of the config that it describes. */
interface Part {
  readonly at: string
  readonly schema: AnySchema
}

/** Everything that describes one config: the schema of the whole, then schemas of places in it that the whole leaves open. */
export class Shape {
  readonly #parts: readonly Part[]

  constructor(whole: TSchema, places: readonly { readonly at: string; readonly schema: TSchema }[] = []) {
    this.#parts = [{ at: '', schema: whole as AnySchema }, ...(places as readonly Part[])]
  }

  /** Undefined when nothing describes the place. */
  isSecret(pointer: string): boolean | undefined {
    const { at, schema } = this.#partOf(pointer)
    const inner = pointer.slice(at.length)
    if (isSecret(schema, inner)) return true
    const isDescribed = schemasAt(schema, inner).some((one) => !['Unknown', 'Any'].includes(kindOf(one)))
    return isDescribed ? false : undefined
  }

  coerce(pointer: string, text: string): string | number | boolean {
    const { at, schema } = this.#partOf(pointer)
    return coerce(schemasAt(schema, pointer.slice(at.length)), text)
  }

  withDefaults(value: unknown): unknown {
    return this.#parts.reduce<unknown>(
      (whole, { at, schema }) => replaceAt(whole, keysOf(at), (part) => withDefaults(schema, part)),
      value
    )
  }

  validate(value: unknown, options: ValidateOptions): Finding[] {
    return this.#parts.flatMap(({ at, schema }) =>
      validate(schema, valueAt(value, keysOf(at)), { ...options, at })
    )
  }

  #partOf(pointer: string): Part {
    return this.#parts.findLast(({ at }) => pointer === at || pointer.startsWith(`${at}/`)) ?? this.#parts[0]!
  }
}

function valueAt(value: unknown, keys: readonly string[]): unknown {
  return keys.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], value)
}

function replaceAt(value: unknown, keys: readonly string[], turn: (part: unknown) => unknown): unknown {
  const [key, ...rest] = keys
  if (key === undefined) return turn(value)
  if (Array.isArray(value)) {
    return value.map((item, index) => (String(index) === key ? replaceAt(item, rest, turn) : item))
  }
  if (typeof value !== 'object' || value === null) return value
  const part = replaceAt((value as Record<string, unknown>)[key], rest, turn)
  return part === undefined ? value : { ...value, [key]: part }
}
