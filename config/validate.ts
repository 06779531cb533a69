import { Type } from '@sinclair/typebox'
import { type ValueError, ValueErrorType } from '@sinclair/typebox/errors'
import { Value, ValuePointer } from '@sinclair/typebox/value'
import { demand, repair } from './demand.ts'
import { isOneSlip, nearest } from './nearest.ts'
import type { Pace } from './pace.ts'
import { keysOf, nameOf, pointerOf } from './pointer.ts'
import { type AnySchema, branchesOf, kindOf, schemasAt, tagOf, withDefaults } from './schema.ts'
import { describe, expected, orList, quoted } from './sentence.ts'
import type { Aim } from './source.ts'

/** One thing a schema has against a value. */
export interface Finding {
  readonly pointer: string
  readonly aim: Aim
  readonly sentence: string
  readonly suggestion?: string | undefined
}

export interface ValidateOptions {
  /** What to say instead of a value that must not be shown; undefined when it may be. */
  readonly hidden?: (pointer: string) => string | undefined
  /** Where in the file `value` stands. */
  readonly at?: string
  /** Parts that are known to be sound. */
  readonly known?: ReadonlySet<unknown>
}

/** Everything that is wrong with a value, as sentences; empty when it is as the schema says. Items of lists at its top are taken one by one. */
export async function validate(
  schema: AnySchema,
  value: unknown,
  pace: Pace,
  options: ValidateOptions = {}
): Promise<Finding[]> {
  const { at = '', known } = options
  const validation = new Validation(schema, value, options)
  const lists = isObject(value)
    ? Object.entries(schema.properties ?? {}).filter(([key, list]) => isTaken(list, value[key]))
    : []
  const items = Object.fromEntries(lists.map(([key, list]) => [key, { ...list, items: Type.Unknown() }]))
  validation.run({ ...schema, properties: { ...schema.properties, ...items } } as AnySchema, value, at)
  for (const [key, { items }] of lists) {
    for (const [index, item] of (value as Record<string, unknown[]>)[key]!.entries()) {
      if (known?.has(item) !== true && !Value.Check(items as AnySchema, item)) {
        validation.run(items as AnySchema, item, at + pointerOf(key, index))
      }
      if (pace.isDue) await pace.rest()
    }
  }
  return validation.findings()
}

/** Can the items of a list be checked one by one? */
const isTaken = (list: AnySchema, value: unknown): boolean =>
  Array.isArray(value) && kindOf(list) === 'Array' && !Array.isArray(list.items) && list.uniqueItems !== true

class Validation {
  readonly #root: AnySchema
  readonly #value: unknown
  readonly #at: string
  readonly #hidden: (pointer: string) => string | undefined
  readonly #found = new Map<string, Finding>()
  /** Keys that a misspelt key was probably meant to be: they are not told to be missing as well. */
  readonly #meant = new Set<string>()

  constructor(root: AnySchema, value: unknown, { hidden = () => undefined, at = '' }: ValidateOptions) {
    this.#root = root
    this.#value = value
    this.#hidden = hidden
    this.#at = at
  }

  findings(): Finding[] {
    return [...this.#found.values()].filter(({ pointer }) => !this.#meant.has(pointer))
  }

  run(schema: AnySchema, value: unknown, prefix: string): void {
    for (const error of Value.Errors(schema, value)) this.#take(error, prefix)
  }

  #take(error: ValueError, prefix: string): void {
    const { type, path, schema, value } = error
    const pointer = prefix + path
    if (type === ValueErrorType.ObjectAdditionalProperties) this.#unknownKey(pointer, schema)
    else if (type === ValueErrorType.ObjectRequiredProperty) {
      const { parent, key } = split(pointer)
      this.#add({ pointer, aim: 'entry', sentence: `${placeName(parent)} lacks "${key}"` })
    }
    // TypeBox goes on to check what is missing as if it were there.
    else if (value === undefined || type === ValueErrorType.Intersect) return
    else if (type === ValueErrorType.Union) this.#union(pointer, schema, value)
    else this.#wrong(pointer, demand(error), value, repair(error))
  }

  #wrong(pointer: string, wanted: string, value: unknown, suggestion?: string): void {
    const hidden = this.#hidden(pointer)
    const numeric =
      typeof value === 'string' && /number|true/.test(wanted) && /^(-?[\d.]+|true|false)$/.test(value)
    const sentence =
      hidden === undefined
        ? `${nameOf(pointer) || 'the config'} ${wanted}, not ${describe(value)}${numeric ? '; write it without quotes' : ''}`
        : `${nameOf(pointer)} ${wanted}; it holds ${hidden}`
    this.#add({ pointer, aim: 'value', sentence, suggestion: hidden === undefined ? suggestion : undefined })
  }

  #unknownKey(pointer: string, schema: AnySchema): void {
    const { parent, key } = split(pointer)
    const [pattern] = Object.keys(schema.patternProperties ?? {})
    if (pattern !== undefined) {
      // TypeBox stops at the first key of a record that does not match.
      const record = ValuePointer.Get(this.#value, parent.slice(this.#at.length)) as object
      for (const name of Object.keys(record).filter((one) => !new RegExp(pattern).test(one))) {
        const sentence = `"${name}" cannot be a name in ${placeName(parent)}: names match ${pattern}`
        this.#add({ pointer: parent + pointerOf(name), aim: 'key', sentence })
      }
      return
    }
    const known = Object.keys(schema.properties ?? {})
    const near = nearest(key, known)
    const inner = innerHome(schema, key)
    const outer = inner === undefined ? this.#outerHome(parent, key) : undefined
    const isSlip = near !== undefined && isOneSlip(near, key)
    const suggestion = isSlip ? near : (inner ?? (outer === undefined ? near : undefined))
    if (suggestion !== undefined && suggestion === near) this.#meant.add(parent + pointerOf(near))
    const hint =
      suggestion !== undefined
        ? ''
        : outer === undefined
          ? `; it takes ${orList(quoted(known)) || 'no keys'}`
          : `; it belongs in ${placeName(outer)}`
    this.#add({
      pointer,
      aim: 'key',
      sentence: `unknown key "${key}" in ${placeName(parent)}${hint}`,
      suggestion
    })
  }

  /** Where around an object a key would be right. */
  #outerHome(parent: string, key: string): string | undefined {
    const keys = keysOf(parent.slice(this.#at.length))
    for (let depth = keys.length - 1; depth >= 0; depth--) {
      const outer = pointerOf(...keys.slice(0, depth))
      if (schemasAt(this.#root, outer).some((at) => hasKey(at, key))) return this.#at + outer
    }
    return undefined
  }

  /** Reports against the one branch that was meant, or says what may stand here: never a line for each branch. */
  #union(pointer: string, schema: AnySchema, value: unknown): void {
    const branches = branchesOf(schema)
    const fitting = branches.filter((branch) => fits(branch, value))
    const literals = branches.map((branch) => branch.const).filter((one) => typeof one === 'string')
    const others = fitting.filter((branch) => branch.const === undefined)
    if (others.length > 1 && isObject(value)) this.#variants(pointer, others, value)
    else if (others.length === 1 && (typeof value !== 'string' || literals.length === 0)) {
      this.#branch(others[0]!, value, pointer)
    } else {
      const suggestion = typeof value === 'string' ? nearest(value, literals) : undefined
      this.#wrong(pointer, `must be ${expected(schema)}`, value, suggestion)
    }
  }

  /** Objects told apart by a key with a fixed value, such as `driver`; without one, the branch with the fewest mistakes. */
  #variants(pointer: string, branches: readonly AnySchema[], value: Readonly<Record<string, unknown>>): void {
    const tag = tagOf(branches)
    const given = tag === undefined ? undefined : value[tag]
    if (tag !== undefined && given !== undefined) {
      const allowed = branches.map(({ properties }) => properties?.[tag]?.const)
      const meant = branches[allowed.indexOf(given)]
      if (meant !== undefined) this.#branch(meant, value, pointer)
      else {
        const names = allowed.map(String)
        const wanted = `must be ${orList(quoted(names))}`
        this.#wrong(pointer + pointerOf(tag), wanted, given, nearest(String(given), names))
      }
      return
    }
    const counts = branches.map((branch) => [...Value.Errors(branch, withDefaults(branch, value))].length)
    this.#branch(branches[counts.indexOf(Math.min(...counts))]!, value, pointer)
  }

  /** A union that nothing fits has no defaults yet: without them all that was left out would seem to be missing. */
  #branch(branch: AnySchema, value: unknown, pointer: string): void {
    this.run(branch, withDefaults(branch, value), pointer)
  }

  /** The first mistake at a place is the plainest; what follows from it is left out. */
  #add(finding: Finding): void {
    if (!this.#found.has(finding.pointer)) this.#found.set(finding.pointer, finding)
  }
}

function split(pointer: string): { parent: string; key: string } {
  return { parent: pointer.slice(0, pointer.lastIndexOf('/')), key: keysOf(pointer).at(-1) ?? '' }
}

/** Where inside an object a key would be right: "timeouts.connect". */
function innerHome({ properties = {} }: AnySchema, key: string): string | undefined {
  const home = Object.entries(properties).find(([, inner]) => hasKey(inner, key))
  return home && `${home[0]}.${key}`
}

const placeName = (pointer: string): string => nameOf(pointer) || 'the config'

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const hasKey = (schema: AnySchema, key: string): boolean =>
  branchesOf(schema).some(({ properties }) => properties !== undefined && Object.hasOwn(properties, key))

function fits(branch: AnySchema, value: unknown): boolean {
  if (branch.const !== undefined) return typeof branch.const === typeof value
  switch (kindOf(branch)) {
    case 'String':
      return typeof value === 'string'
    case 'Integer':
    case 'Number':
      return typeof value === 'number'
    case 'Boolean':
      return typeof value === 'boolean'
    case 'Array':
    case 'Tuple':
      return Array.isArray(value)
    case 'Null':
      return value === null
    default:
      return isObject(value)
  }
}
