import type { TSchema } from '@sinclair/typebox'
import type { Pace } from './pace.ts'
import { PieceNode } from './pieces.ts'
import { keysOf, pointerOf } from './pointer.ts'
import {
  type AnySchema,
  coerce,
  holdsSecret,
  isMarked,
  isSecret,
  schemasAt,
  under,
  withDefaults,
  withDefaultsInTurns
} from './schema.ts'
import type { SourceNode } from './source.ts'
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

  isSecret(pointer: string): boolean {
    const { at, schema } = this.#partOf(pointer)
    return isSecret(schema, pointer.slice(at.length))
  }

  /** The scalars of a file that are secret by their schema, or by their name where the name is not the schema's, by their pointers. */
  secretsOf(root: SourceNode): ReadonlyMap<string, SourceNode> {
    const places = new Map(this.#parts.map(({ at, schema }) => [at, schema]))
    const found = new Map<string, SourceNode>()
    const walk = (
      node: SourceNode,
      { schemas: described, pointer, isHidden: isWithin, isNamed }: Step
    ): void => {
      const schemas = places.has(pointer) ? [places.get(pointer)!] : described
      const isHidden = isWithin || schemas.some(isMarked)
      const { value } = node
      const stepTo = (key: string): Step => ({
        schemas: schemas.flatMap((schema) => under(schema, key)),
        pointer: pointer + pointerOf(key),
        isHidden,
        isNamed: schemas.some((schema) => names(schema, key))
      })
      if (value.kind === 'object') for (const [key, child] of value.entries) walk(child, stepTo(key))
      else if (value.kind === 'array') {
        const isOpen =
          !isHidden &&
          ![...places.keys()].some((at) => at.startsWith(`${pointer}/`)) &&
          !schemas.some(holdsSecret)
        for (const [index, child] of value.items.entries()) {
          // Thousands of routes are not taken apart to find that none of them has a secret.
          if (isOpen && child instanceof PieceNode && !mayBeSecret.test(child.text)) continue
          walk(child, stepTo(`${index}`))
        }
      } else if (isHidden || (!isNamed && secretName.test(pointer))) found.set(pointer, node)
    }
    walk(root, { schemas: [], pointer: '', isHidden: false, isNamed: false })
    return found
  }

  coerce(pointer: string, text: string): string | number | boolean {
    const { at, schema } = this.#partOf(pointer)
    return coerce(schemasAt(schema, pointer.slice(at.length)), text)
  }

  async withDefaults(value: unknown, known: ReadonlySet<unknown>, pace: Pace): Promise<unknown> {
    const [{ schema }, ...places] = this.#parts as [Part, ...Part[]]
    const whole = await withDefaultsInTurns(schema, value, known, pace)
    return places.reduce<unknown>(
      (one, { at, schema: own }) => replaceAt(one, keysOf(at), (part) => withDefaults(own, part)),
      whole
    )
  }

  async validate(value: unknown, pace: Pace, options: ValidateOptions): Promise<Finding[]> {
    const findings: Finding[] = []
    for (const { at, schema } of this.#parts) {
      findings.push(...(await validate(schema, valueAt(value, keysOf(at)), pace, { ...options, at })))
    }
    return findings
  }

  #partOf(pointer: string): Part {
    return this.#parts.findLast(({ at }) => pointer === at || pointer.startsWith(`${at}/`)) ?? this.#parts[0]!
  }
}

/** A text in JSON without this has no key that ends like a secret's, nor one that is written with escapes. */
const mayBeSecret = /\\|(?:password|passwd|secret|token|api[-_]?key|private[-_]?key)"/i

const secretName = /(?:password|passwd|secret|token|api[-_]?key|private[-_]?key)$/i

/** Where a walk through a file stands. */
interface Step {
  readonly schemas: readonly AnySchema[]
  readonly pointer: string
  readonly isHidden: boolean
  /** The key is one that a schema names: what it holds is known. Keys of records and of what takes anything are the author's. */
  readonly isNamed: boolean
}

const names = (schema: AnySchema, key: string): boolean =>
  schema.properties === undefined
    ? ((schema.anyOf ?? schema.allOf)?.some((branch) => names(branch, key)) ?? false)
    : Object.hasOwn(schema.properties, key)

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
